using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Platform.Backend.Database;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Templates;

/// <summary>An answer of the registry, possibly from the cache.</summary>
/// <param name="Value">The content.</param>
/// <param name="Age">How long ago it was fetched.</param>
/// <param name="Stale">Whether it is an outdated one, returned because the registry is unavailable.</param>
internal sealed record Answer<T>(T Value, TimeSpan Age, bool Stale);

/// <summary>
/// The registry's templates, cached in memory and in the database. Fails open: while the registry is unavailable, its last answer is returned, marked as
/// stale, also after a restart.
/// </summary>
internal sealed partial class TemplateCatalog(
    TemplateRegistryClient registry,
    TemplateAnswers answers,
    PostgresDatabase database,
    Fallbacks fallbacks,
    IOptionsMonitor<TemplateOptions> options,
    TimeProvider time,
    ILogger<TemplateCatalog> logger)
{
    public static readonly Fallback Fallback = new("template-registry", "templates", FallbackKind.FailOpen);

    private static readonly TimeSpan RetryDelayAfterFastFailure = TimeSpan.FromMilliseconds(250);

    /// <summary>All available templates, by name.</summary>
    /// <exception cref="DependencyUnavailableException">The registry is unavailable, and there is no cached answer.</exception>
    public async Task<Answer<IReadOnlyList<Template>>> ListAsync(CancellationToken cancellationToken) =>
        (await GetAsync<IReadOnlyList<Template>>("templates", async token => await registry.ListAsync(token), cancellationToken))!;

    /// <summary>One template, or null if there is none with this name.</summary>
    /// <exception cref="DependencyUnavailableException">The registry is unavailable, and there is no cached answer.</exception>
    public async Task<Answer<Template>?> FindAsync(string name, CancellationToken cancellationToken) =>
        TemplateNames.IsName(name) ? await GetAsync($"templates/{name}", token => registry.FindAsync(name, token), cancellationToken) : null;

    /// <summary>One version of a template, also a withdrawn one, or null if there is none.</summary>
    /// <exception cref="DependencyUnavailableException">The registry is unavailable, and there is no cached answer.</exception>
    public Task<Answer<TemplateVersion>?> FindVersionAsync(string name, string version, CancellationToken cancellationToken) =>
        GetVersionAsync(name, version, ofAnyAge: false, cancellationToken);

    /// <summary>
    /// The same for the immutable fields of a version (digest, parameters): returns a cached answer of any age, so that the registry is called at most
    /// once. The <see cref="TemplateVersion.Status"/> may be outdated.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">The registry is unavailable, and there is no cached answer.</exception>
    public async Task<TemplateVersion?> FindContentAsync(string name, string version, CancellationToken cancellationToken) =>
        (await GetVersionAsync(name, version, ofAnyAge: true, cancellationToken))?.Value;

    /// <summary>Marks all cached answers as not fresh, after a publication. They remain usable as stale answers.</summary>
    public void Expire() => answers.Expire();

    private async Task<Answer<TemplateVersion>?> GetVersionAsync(string name, string version, bool ofAnyAge, CancellationToken cancellationToken) =>
        TemplateNames.IsName(name) && TemplateNames.IsVersion(version)
            ? await GetAsync($"templates/{name}/versions/{version}", token => registry.FindVersionAsync(name, version, token), cancellationToken, ofAnyAge)
            : null;

    private async Task<Answer<T>?> GetAsync<T>(
        string key, Func<CancellationToken, Task<T?>> fetch, CancellationToken cancellationToken, bool ofAnyAge = false) where T : class
    {
        var slot = answers.Slot(key);
        if (Fresh<T>(slot, ofAnyAge) is { } fresh)
            return fresh;

        // One call to the registry at a time for each key; concurrent requests wait for its answer.
        await slot.Gate.WaitAsync(cancellationToken);
        try
        {
            slot.Cached ??= await LoadAsync<T>(key, cancellationToken);
            if (Fresh<T>(slot, ofAnyAge) is { } fetched)
                return fetched;
            if (slot.Cached is { } cached && answers.SkipRegistryUntil > time.GetUtcNow())
                return Stale<T>(cached);
            return await FetchAsync(key, slot, fetch, cancellationToken);
        }
        finally
        {
            if (slot.Cached is null)
                answers.Forget(key, slot);
            slot.Gate.Release();
        }
    }

    private async Task<Answer<T>?> FetchAsync<T>(
        string key, TemplateAnswers.AnswerSlot slot, Func<CancellationToken, Task<T?>> fetch, CancellationToken cancellationToken) where T : class
    {
        using var timeout = new CancellationTokenSource(slot.Cached is null ? options.CurrentValue.Deadline : options.CurrentValue.Patience, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            var epoch = answers.Epoch;
            var value = await fetch(linked.Token);
            answers.SkipRegistryUntil = default;
            if (value is null)
            {
                slot.Cached = null;
                return null;
            }

            var now = time.GetUtcNow();
            slot.Cached = new(value, now, epoch);
            await StoreAsync(key, value, now, cancellationToken);
            return new(value, TimeSpan.Zero, Stale: false);
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            // Whatever the failure is, return the cached answer if there is one.
            if (slot.Cached is not { } cached)
                throw new DependencyUnavailableException("template-registry", exception, options.CurrentValue.AskAgainAfter);
            var now = time.GetUtcNow();
            var later = now + options.CurrentValue.AskAgainAfter;
            // After a time-out, further requests get the cached answer without waiting for the registry. After a fast failure, such as an open breaker, the registry is
            // called again soon, because that is cheap and its recovery should be noticed quickly.
            answers.SkipRegistryUntil = timeout.IsCancellationRequested ? later : now + RetryDelayAfterFastFailure;
            var stale = Stale<T>(cached);
            if (answers.ShouldLogStale(now, until: later))
                LogServingStale(logger, key, (long)stale.Age.TotalSeconds, exception.Message);
            return stale;
        }
    }

    private Answer<T>? Fresh<T>(TemplateAnswers.AnswerSlot slot, bool ofAnyAge) =>
        slot.Cached is { } cached && (ofAnyAge || cached.Epoch == answers.Epoch && time.GetUtcNow() - cached.FetchedAt < options.CurrentValue.FreshFor)
            ? new((T)cached.Value, time.GetUtcNow() - cached.FetchedAt, Stale: false)
            : null;

    private Answer<T> Stale<T>(TemplateAnswers.CachedAnswer cached)
    {
        var age = time.GetUtcNow() - cached.FetchedAt;
        fallbacks.Use(Fallback, age);
        return new((T)cached.Value, age, Stale: true);
    }

    /// <summary>Best effort: templates are also served while the database is unavailable.</summary>
    private async Task<TemplateAnswers.CachedAnswer?> LoadAsync<T>(string key, CancellationToken cancellationToken) where T : class
    {
        try
        {
            return await database.FindAsync(
                "select answer, fetched_at from template_cache where key = $1", [key],
                row => new TemplateAnswers.CachedAnswer(row.GetJson<T>(0), row.GetFieldValue<DateTimeOffset>(1), TemplateAnswers.NeverFresh), cancellationToken);
        }
        catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception) || exception is JsonException)
        {
            LogNotLoaded(logger, key, exception);
            return null;
        }
    }

    /// <summary>Best effort. To limit disk writes, an unchanged answer is written only once a minute, to update its age.</summary>
    private async Task StoreAsync<T>(string key, T value, DateTimeOffset fetchedAt, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            await using var command = connection.Command(
                """
                insert into template_cache as kept (key, answer, fetched_at) values ($1, $2, $3)
                on conflict (key) do update set answer = excluded.answer, fetched_at = excluded.fetched_at
                where kept.answer <> excluded.answer or kept.fetched_at < excluded.fetched_at - interval '1 minute'
                """,
                key, Sql.Json(value), fetchedAt);
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
        catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception))
        {
            LogNotStored(logger, key, exception);
        }
    }

    [LoggerMessage(LogLevel.Warning, "The template registry is unavailable; serving the answer for {Key} of {Age} s ago: {Reason}")]
    private static partial void LogServingStale(ILogger logger, string key, long age, string reason);

    [LoggerMessage(LogLevel.Warning, "Could not read the cached answer for {Key}")]
    private static partial void LogNotLoaded(ILogger logger, string key, Exception exception);

    [LoggerMessage(LogLevel.Warning, "Could not cache the answer for {Key} in the database; a restart will lose it")]
    private static partial void LogNotStored(ILogger logger, string key, Exception exception);
}

/// <summary>The answers cached in memory. Slots of names that don't exist in the registry are removed after the call, so that arbitrary names don't fill the memory.</summary>
internal sealed class TemplateAnswers
{
    /// <summary>The epoch of answers loaded from the database, which are never fresh.</summary>
    public const int NeverFresh = -1;

    private readonly ConcurrentDictionary<string, AnswerSlot> _slots = new(StringComparer.Ordinal);
    private int _epoch;
    private long _skipRegistryUntil;
    private long _nextStaleLog;

    /// <summary>Incremented by <see cref="Expire"/>; answers of earlier epochs are not fresh.</summary>
    public int Epoch => Volatile.Read(ref _epoch);

    /// <summary>Until then, cached answers are returned without calling the registry.</summary>
    public DateTimeOffset SkipRegistryUntil
    {
        get => new(Volatile.Read(ref _skipRegistryUntil), TimeSpan.Zero);
        set => Volatile.Write(ref _skipRegistryUntil, value.UtcTicks);
    }

    /// <summary>True at most once before <paramref name="until"/>, so that staleness is not logged for each answer.</summary>
    public bool ShouldLogStale(DateTimeOffset now, DateTimeOffset until)
    {
        var next = Volatile.Read(ref _nextStaleLog);
        return next <= now.UtcTicks && Interlocked.CompareExchange(ref _nextStaleLog, until.UtcTicks, next) == next;
    }

    public AnswerSlot Slot(string key) => _slots.GetOrAdd(key, _ => new AnswerSlot());

    public void Forget(string key, AnswerSlot slot) => _slots.TryRemove(KeyValuePair.Create(key, slot));

    public void Expire() => Interlocked.Increment(ref _epoch);

    internal sealed class AnswerSlot
    {
        public volatile CachedAnswer? Cached;

        public SemaphoreSlim Gate { get; } = new(1);
    }

    internal sealed record CachedAnswer(object Value, DateTimeOffset FetchedAt, int Epoch);
}
