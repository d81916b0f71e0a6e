using System.Security.Claims;
using Npgsql;
using Platform.Backend.Database;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Security;

namespace Platform.Backend.Owners;

/// <summary>What a valid key allows, and to whom.</summary>
internal sealed record Grant(Guid OwnerId, string OwnerName, IReadOnlyList<string> Scopes)
{
    public ClaimsPrincipal ToPrincipal(string scheme) => new(new ClaimsIdentity(
        [
            new(ClaimTypes.NameIdentifier, OwnerId.ToString()),
            new(ClaimTypes.Name, OwnerName),
            .. Owners.Scopes.Expand(Scopes).Select(scope => new Claim(Owners.Scopes.ClaimType, scope)),
        ],
        scheme));
}

/// <summary>What became of a key: a grant, or a refusal.</summary>
internal sealed record Verdict(Grant? Grant = null, KeyRefusal? Refusal = null);

/// <summary>Why a key is not taken.</summary>
/// <param name="Reason">What is wrong.</param>
/// <param name="RetryAfter">When to come again; null when the key itself is wrong.</param>
internal sealed record KeyRefusal(KeyRefusalReason Reason, TimeSpan? RetryAfter = null);

internal enum KeyRefusalReason
{
    /// <summary>No such key, or it is revoked or expired: the caller need not know which.</summary>
    Invalid,

    /// <summary>Too many wrong keys came from the client's address.</summary>
    TooManyWrong,

    /// <summary>The database cannot be asked.</summary>
    Unavailable,
}

/// <summary>The administrator's key: configuration <c>AdminKey</c>, one value or a list <c>AdminKey:0..n</c> of which all are accepted. It works also without the database.</summary>
internal sealed class AdminKeys(IConfiguration configuration) : IDisposable
{
    public const string ConfigurationKey = "AdminKey";

    public static readonly Grant Grant = new(Owner.Administrator, "administrator", [Scopes.Admin]);

    private readonly ConfiguredSecret _secret = new(configuration, ConfigurationKey);

    public bool AcceptsDigest(ReadOnlySpan<byte> digest) => _secret.AcceptsDigest(digest);

    public void Dispose() => _secret.Dispose();
}

/// <summary>
/// Says what a key allows. The database is asked, by one indexed query, unless this process asked it about the same key within the last second: a client that sends more than
/// it may must not cost a query for each refusal. So a key that is revoked here ends at once, and on other replicas within a second. While the database is away a key that
/// was good in the last five minutes is still taken, and others get 503.
/// </summary>
internal sealed class VerifyKey(AdminKeys adminKeys, KnownKeys known, FindKey find, WrongKeys wrongKeys, Fallbacks fallbacks, TimeProvider time)
{
    public static readonly Fallback Remembered = new(PostgresDatabase.Name, "keys seen before", FallbackKind.FailOpen);
    public static readonly Fallback Unknown = new(PostgresDatabase.Name, "other keys", FallbackKind.FailClosed);

    private static readonly TimeSpan AskAgainAfter = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    /// <summary>Verifies a key as its holder sent it. Once too many wrong ones came from the client's address, only those that this process has seen to be good are looked at.</summary>
    public Task<Verdict> ExecuteAsync(HttpContext context, string key, CancellationToken cancellationToken)
    {
        var digest = KeyFormat.DigestOf(key);
        if (known.Find(digest) is null && wrongKeys.MustWait(context, out var retryAfter))
            return Task.FromResult(new Verdict(Refusal: new(KeyRefusalReason.TooManyWrong, retryAfter)));

        return VerifyAsync(context, digest, () => KeyFormat.IsKey(key), cancellationToken);
    }

    /// <summary>Verifies again the key that a session was begun with.</summary>
    public Task<Verdict> ExecuteAsync(HttpContext context, byte[] digest, CancellationToken cancellationToken) =>
        VerifyAsync(context, digest, static () => true, cancellationToken);

    private async Task<Verdict> VerifyAsync(HttpContext context, byte[] digest, Func<bool> looksLikeKey, CancellationToken cancellationToken)
    {
        if (adminKeys.AcceptsDigest(digest))
        {
            known.Keep(digest, AdminKeys.Grant, time.GetUtcNow());
            return new(AdminKeys.Grant);
        }

        var seen = known.Find(digest);
        var now = time.GetUtcNow();
        if (seen is not null && now - seen.At < AskAgainAfter)
            return new(seen.Grant);

        try
        {
            // what was wrong a moment ago is wrong for good, and is not to cost a query each time
            if (!wrongKeys.WasLast(context, digest) && looksLikeKey() && await find.ExecuteAsync(digest, cancellationToken) is { } grant)
            {
                known.Keep(digest, grant, now);
                return new(grant);
            }
        }
        catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception) && !cancellationToken.IsCancellationRequested)
        {
            if (seen is not null)
            {
                fallbacks.Use(Remembered, now - seen.At);
                return new(seen.Grant);
            }

            fallbacks.Use(Unknown);
            return new(Refusal: new(KeyRefusalReason.Unavailable, exception is DatabaseUnavailableException { RetryAfter: var said } && said > RetryAfter ? said : RetryAfter));
        }

        known.Forget(digest);
        wrongKeys.Add(context, digest);
        return new(Refusal: new(KeyRefusalReason.Invalid));
    }
}

/// <summary>Finds what a key allows.</summary>
internal sealed partial class FindKey(PostgresDatabase database, ILogger<FindKey> logger)
{
    /// <summary>What the key with this SHA-256 allows; null when there is none, or it is revoked or expired.</summary>
    public async Task<Grant?> ExecuteAsync(byte[] digest, CancellationToken cancellationToken)
    {
        var found = await database.ReadAsync<(Guid Id, Grant Grant, bool IsUseNew)?>(async connection =>
        {
            await using var command = connection.Command(
                """
                select k.id, o.id, o.name, k.scopes, k.last_used_at is null or k.last_used_at < now() - interval '1 hour'
                from api_keys k join owners o on o.id = k.owner_id
                where k.digest = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
                """,
                digest);
            await using var reader = await command.ExecuteReaderAsync(cancellationToken);
            return await reader.ReadAsync(cancellationToken)
                ? (reader.GetGuid(0), new(reader.GetGuid(1), reader.GetString(2), reader.GetFieldValue<string[]>(3)), reader.GetBoolean(4))
                : null;
        }, cancellationToken);
        if (found is { IsUseNew: true })
            await NoteUseAsync(found.Value.Id, cancellationToken);
        return found?.Grant;
    }

    /// <summary>Best effort: whether the key is good does not hang on it.</summary>
    private async Task NoteUseAsync(Guid id, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            await using var command = connection.Command("update api_keys set last_used_at = date_trunc('hour', now()) where id = $1", id);
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
        catch (Exception exception) when (exception is NpgsqlException or TimeoutException)
        {
            LogNotNoted(logger, id, exception.Message);
        }
    }

    [LoggerMessage(LogLevel.Information, "That key {KeyId} was used was not noted: {Reason}")]
    private static partial void LogNotNoted(ILogger logger, Guid keyId, string reason);
}

/// <summary>The good keys that this process has seen in the last five minutes, by their digests; at most 10,000.</summary>
internal sealed class KnownKeys(TimeProvider time)
{
    private const int Capacity = 10_000;

    private static readonly TimeSpan Kept = TimeSpan.FromMinutes(5);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, KnownKey> _keys = new(StringComparer.Ordinal);

    public KnownKey? Find(byte[] digest)
    {
        lock (_lock)
            return _keys.TryGetValue(Convert.ToHexString(digest), out var key) && time.GetUtcNow() - key.At < Kept ? key : null;
    }

    public void Keep(byte[] digest, Grant grant, DateTimeOffset at)
    {
        lock (_lock)
        {
            if (_keys.Count >= Capacity)
            {
                var now = time.GetUtcNow();
                foreach (var (old, _) in _keys.Where(key => now - key.Value.At >= Kept).ToList())
                    _keys.Remove(old);
                if (_keys.Count >= Capacity)
                    _keys.Clear();
            }

            _keys[Convert.ToHexString(digest)] = new(grant, at);
        }
    }

    public void Forget(byte[] digest)
    {
        lock (_lock)
            _keys.Remove(Convert.ToHexString(digest));
    }
}

/// <summary>A key that was good.</summary>
internal sealed record KnownKey(Grant Grant, DateTimeOffset At);
