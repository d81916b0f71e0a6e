using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.Options;
using Platform.Backend.Database;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Templates;

/// <summary>What the registry said, and when.</summary>
/// <param name="Value">The answer.</param>
/// <param name="Age">How long ago the registry gave it.</param>
/// <param name="Stale">Whether it is given because the registry cannot be asked.</param>
internal sealed record Answer<T>(T Value, TimeSpan Age, bool Stale);

/// <summary>
/// The registry's templates. It fails open: when the registry cannot be asked, its last good answer is given, marked as stale; that answer is
/// kept in the database, so that it outlives a restart.
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

    private static readonly TimeSpan AfterRefusal = TimeSpan.FromMilliseconds(250);

    /// <summary>All templates on offer, by name.</summary>
    /// <exception cref="DependencyUnavailableException">The registry cannot be asked and never could.</exception>
    public async Task<Answer<IReadOnlyList<Template>>> ListAsync(CancellationToken cancellationToken) =>
        (await AskAsync<IReadOnlyList<Template>>("templates", async token => await registry.ListAsync(token), cancellationToken))!;

    /// <summary>One template, or null when there is none of the name.</summary>
    /// <exception cref="DependencyUnavailableException">The registry cannot be asked and never could.</exception>
    public async Task<Answer<Template>?> FindAsync(string name, CancellationToken cancellationToken) =>
        TemplateNames.IsName(name) ? await AskAsync($"templates/{name}", token => registry.FindAsync(name, token), cancellationToken) : null;

    /// <summary>One version of a template, also a withdrawn one, or null when there is none.</summary>
    /// <exception cref="DependencyUnavailableException">The registry cannot be asked and never could.</exception>
    public async Task<Answer<TemplateVersion>?> FindVersionAsync(string name, string version, CancellationToken cancellationToken) =>
        TemplateNames.IsName(name) && TemplateNames.IsVersion(version)
            ? await AskAsync(VersionKey(name, version), token => registry.FindVersionAsync(name, version, token), cancellationToken)
            : null;

    /// <summary>
    /// The same, for what never changes in a published version (digest, parameters): an answer of any age will do, so that the registry is asked at
    /// most once. Its <see cref="TemplateVersion.Status"/> may be out of date.
    /// </summary>
    /// <exception cref="DependencyUnavailableException">The registry cannot be asked and never could.</exception>
    public async Task<TemplateVersion?> FindContentAsync(string name, string version, CancellationToken cancellationToken)
    {
        if (!TemplateNames.IsName(name) || !TemplateNames.IsVersion(version))
            return null;

        var key = VersionKey(name, version);
        var slot = answers.Slot(key);
        await slot.Gate.WaitAsync(cancellationToken);
        try
        {
            slot.Held ??= await LoadAsync<TemplateVersion>(key, cancellationToken);
            return slot.Held is { } held
                ? (TemplateVersion)held.Value
                : (await FetchAsync(key, slot, token => registry.FindVersionAsync(name, version, token), cancellationToken))?.Value;
        }
        finally
        {
            Release(key, slot);
        }
    }

    /// <summary>Forgets that anything is fresh, after a publication. The answers stay for when the registry cannot be asked.</summary>
    public void Expire() => answers.Expire();

    private static string VersionKey(string name, string version) => $"templates/{name}/versions/{version}";

    private async Task<Answer<T>?> AskAsync<T>(string key, Func<CancellationToken, Task<T?>> ask, CancellationToken cancellationToken) where T : class
    {
        var slot = answers.Slot(key);
        if (Fresh<T>(slot) is { } fresh)
            return fresh;

        // one question at a time for each key: the others wait for its answer
        await slot.Gate.WaitAsync(cancellationToken);
        try
        {
            if (Fresh<T>(slot) is { } fetched)
                return fetched;

            slot.Held ??= await LoadAsync<T>(key, cancellationToken);
            if (slot.Held is { } held && answers.RestUntil > time.GetUtcNow())
                return Stale<T>(held);
            return await FetchAsync(key, slot, ask, cancellationToken);
        }
        finally
        {
            Release(key, slot);
        }
    }

    private void Release(string key, TemplateAnswers.AnswerSlot slot)
    {
        if (slot.Held is null)
            answers.Forget(key, slot);
        slot.Gate.Release();
    }

    private async Task<Answer<T>?> FetchAsync<T>(
        string key, TemplateAnswers.AnswerSlot slot, Func<CancellationToken, Task<T?>> ask, CancellationToken cancellationToken) where T : class
    {
        using var patience = new CancellationTokenSource(slot.Held is null ? options.CurrentValue.Deadline : options.CurrentValue.Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        try
        {
            var epoch = answers.Epoch;
            var value = await ask(either.Token);
            answers.RestUntil = default;
            if (value is null)
            {
                slot.Held = null;
                return null;
            }

            var now = time.GetUtcNow();
            slot.Held = new(value, now, epoch);
            await StoreAsync(key, value, now, cancellationToken);
            return new(value, TimeSpan.Zero, Stale: false);
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            // whatever is wrong with the registry, the last good answer stands
            if (slot.Held is not { } held)
                throw new DependencyUnavailableException("template-registry", exception, options.CurrentValue.AskAgainAfter);
            var now = time.GetUtcNow();
            var later = now + options.CurrentValue.AskAgainAfter;
            // who asked in vain for so long spares the next ones the wait; a refusal, such as an open breaker's, costs little, and its end is not to be missed
            answers.RestUntil = patience.IsCancellationRequested ? later : now + AfterRefusal;
            var stale = Stale<T>(held);
            if (answers.MaySay(now, until: later))
                Log.ServingStale(logger, key, (long)stale.Age.TotalSeconds, exception.Message);
            return stale;
        }
    }

    private Answer<T>? Fresh<T>(TemplateAnswers.AnswerSlot slot) =>
        slot.Held is { } held && held.Epoch == answers.Epoch && time.GetUtcNow() - held.FetchedAt < options.CurrentValue.FreshFor
            ? new((T)held.Value, time.GetUtcNow() - held.FetchedAt, Stale: false)
            : null;

    private Answer<T> Stale<T>(TemplateAnswers.HeldAnswer held)
    {
        var age = time.GetUtcNow() - held.FetchedAt;
        fallbacks.Use(Fallback, age);
        return new((T)held.Value, age, Stale: true);
    }

    /// <summary>Best effort: templates are also served while the database is away.</summary>
    private async Task<TemplateAnswers.HeldAnswer?> LoadAsync<T>(string key, CancellationToken cancellationToken) where T : class
    {
        try
        {
            return await database.ReadAsync(async connection =>
            {
                await using var command = connection.Command("select answer, fetched_at from template_cache where key = $1", key);
                await using var reader = await command.ExecuteReaderAsync(cancellationToken);
                return await reader.ReadAsync(cancellationToken)
                    ? new TemplateAnswers.HeldAnswer(reader.GetJson<T>(0), reader.GetFieldValue<DateTimeOffset>(1), TemplateAnswers.NeverFresh)
                    : null;
            }, cancellationToken);
        }
        catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception) || exception is JsonException)
        {
            Log.CannotLoad(logger, key, exception);
            return null;
        }
    }

    /// <summary>Best effort, and spares the disk: an answer that did not change is written once a minute, for its age.</summary>
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
            Log.CannotStore(logger, key, exception);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(Level = LogLevel.Warning, Message = "The template registry cannot be asked for {Key} ({Reason}); serving its answer of {Age} s ago.")]
        public static partial void ServingStale(ILogger logger, string key, long age, string reason);

        [LoggerMessage(Level = LogLevel.Warning, Message = "The kept answer for {Key} cannot be read.")]
        public static partial void CannotLoad(ILogger logger, string key, Exception exception);

        [LoggerMessage(Level = LogLevel.Warning, Message = "The answer for {Key} cannot be kept; it is lost when this process ends.")]
        public static partial void CannotStore(ILogger logger, string key, Exception exception);
    }
}

/// <summary>The answers in this process's memory. Only what exists in the registry has a slot for longer than a call.</summary>
internal sealed class TemplateAnswers
{
    /// <summary>The epoch of an answer that was loaded and not asked for.</summary>
    public const int NeverFresh = -1;

    private readonly ConcurrentDictionary<string, AnswerSlot> _slots = new(StringComparer.Ordinal);
    private int _epoch;
    private long _restUntil;
    private long _quietUntil;

    /// <summary>Changes whenever all answers stop being fresh.</summary>
    public int Epoch => Volatile.Read(ref _epoch);

    /// <summary>Until when the registry is left alone wherever an answer is held.</summary>
    public DateTimeOffset RestUntil
    {
        get => new(Volatile.Read(ref _restUntil), TimeSpan.Zero);
        set => Volatile.Write(ref _restUntil, value.UtcTicks);
    }

    /// <summary>Whether to say now that answers are stale, and then no more until <paramref name="until"/>.</summary>
    public bool MaySay(DateTimeOffset now, DateTimeOffset until)
    {
        var quiet = Volatile.Read(ref _quietUntil);
        return quiet <= now.UtcTicks && Interlocked.CompareExchange(ref _quietUntil, until.UtcTicks, quiet) == quiet;
    }

    public AnswerSlot Slot(string key) => _slots.GetOrAdd(key, _ => new AnswerSlot());

    public void Forget(string key, AnswerSlot slot) => _slots.TryRemove(KeyValuePair.Create(key, slot));

    public void Expire() => Interlocked.Increment(ref _epoch);

    internal sealed class AnswerSlot
    {
        private volatile HeldAnswer? _held;

        public SemaphoreSlim Gate { get; } = new(1);

        public HeldAnswer? Held
        {
            get => _held;
            set => _held = value;
        }
    }

    internal sealed record HeldAnswer(object Value, DateTimeOffset FetchedAt, int Epoch);
}
