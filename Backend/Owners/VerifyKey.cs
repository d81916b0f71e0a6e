using System.Security.Claims;
using Npgsql;
using Platform.Backend.Database;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Security;

namespace Platform.Backend.Owners;

/// <summary>The owner and scopes of a valid key.</summary>
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

/// <summary>The result of verifying a key: a grant or a refusal.</summary>
internal sealed record Verdict(Grant? Grant = null, KeyRefusal? Refusal = null);

/// <summary>Why a key was refused.</summary>
/// <param name="Reason">The reason.</param>
/// <param name="RetryAfter">When to try again; null if the key is invalid.</param>
internal sealed record KeyRefusal(KeyRefusalReason Reason, TimeSpan? RetryAfter = null);

internal enum KeyRefusalReason
{
    /// <summary>Unknown, revoked or expired; the caller is not told which.</summary>
    Invalid,

    /// <summary>Too many wrong keys came from the client's address.</summary>
    TooManyWrong,

    /// <summary>The database is unavailable.</summary>
    Unavailable,
}

/// <summary>
/// Verifies keys against the database. Results are cached for a second, so that a client that is over its rate limit doesn't cause a query for each refused request. A key
/// that is revoked here is refused immediately, by other replicas within a second. While the database is unavailable, a key that was valid within the last five minutes is
/// accepted, and others get 503.
/// </summary>
internal sealed class VerifyKey(IConfiguration configuration, KnownKeys known, FindKey find, WrongKeys wrongKeys, Fallbacks fallbacks, TimeProvider time) : IDisposable
{
    /// <summary>Configuration key of the administrator's keys: one value or a list <c>AdminKey:0..n</c>. They are verified without the database.</summary>
    public const string AdminKey = "AdminKey";

    public static readonly Fallback Remembered = new(PostgresDatabase.Name, "keys seen before", FallbackKind.FailOpen);
    public static readonly Fallback Unknown = new(PostgresDatabase.Name, "other keys", FallbackKind.FailClosed);

    private static readonly Grant Administrator = new(Owner.Administrator, "administrator", [Scopes.Admin]);
    private static readonly TimeSpan CacheDuration = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private readonly ConfiguredSecret _adminKeys = new(configuration, AdminKey);

    /// <summary>Verifies a key. After too many wrong keys from the client's address, only keys that this process knows to be valid are accepted from it.</summary>
    public Task<Verdict> ExecuteAsync(HttpContext context, string key, CancellationToken cancellationToken)
    {
        var digest = KeyFormat.DigestOf(key);
        if (known.Find(digest) is null && wrongKeys.MustWait(context, out var retryAfter))
            return Task.FromResult(new Verdict(Refusal: new(KeyRefusalReason.TooManyWrong, retryAfter)));

        return VerifyAsync(context, digest, () => KeyFormat.IsKey(key), cancellationToken);
    }

    /// <summary>Verifies the key that a session was started with.</summary>
    public Task<Verdict> ExecuteAsync(HttpContext context, byte[] digest, CancellationToken cancellationToken) =>
        VerifyAsync(context, digest, static () => true, cancellationToken);

    public void Dispose() => _adminKeys.Dispose();

    private async Task<Verdict> VerifyAsync(HttpContext context, byte[] digest, Func<bool> looksLikeKey, CancellationToken cancellationToken)
    {
        if (_adminKeys.AcceptsDigest(digest))
        {
            known.Keep(digest, Administrator, time.GetUtcNow());
            return new(Administrator);
        }

        var seen = known.Find(digest);
        var now = time.GetUtcNow();
        if (seen is not null && now - seen.At < CacheDuration)
            return new(seen.Grant);

        try
        {
            // The last wrong key from this address is not looked up again: an unknown key can't become valid.
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

/// <summary>Looks keys up in the database.</summary>
internal sealed partial class FindKey(PostgresDatabase database, ILogger<FindKey> logger)
{
    /// <summary>The grant of the key with this SHA-256; null if it is unknown, revoked or expired.</summary>
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
            await RecordUseAsync(found.Value.Id, cancellationToken);
        return found?.Grant;
    }

    // Best effort: the key is valid even if this fails.
    private async Task RecordUseAsync(Guid id, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            await using var command = connection.Command("update api_keys set last_used_at = date_trunc('hour', now()) where id = $1", id);
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
        catch (Exception exception) when (exception is NpgsqlException or TimeoutException)
        {
            LogUseNotRecorded(logger, id, exception.Message);
        }
    }

    [LoggerMessage(LogLevel.Information, "Could not record the last use of key {KeyId}: {Reason}")]
    private static partial void LogUseNotRecorded(ILogger logger, Guid keyId, string reason);
}

/// <summary>The valid keys that this process has verified in the last five minutes, by their digests; at most 10,000.</summary>
internal sealed class KnownKeys(TimeProvider time)
{
    private const int Capacity = 10_000;

    private static readonly TimeSpan Retention = TimeSpan.FromMinutes(5);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, KnownKey> _keys = new(StringComparer.Ordinal);

    public KnownKey? Find(byte[] digest)
    {
        lock (_lock)
            return _keys.TryGetValue(Convert.ToHexString(digest), out var key) && time.GetUtcNow() - key.At < Retention ? key : null;
    }

    public void Keep(byte[] digest, Grant grant, DateTimeOffset at)
    {
        lock (_lock)
        {
            if (_keys.Count >= Capacity)
            {
                var now = time.GetUtcNow();
                foreach (var (old, _) in _keys.Where(key => now - key.Value.At >= Retention).ToList())
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

/// <summary>The grant of a valid key, and when it was verified.</summary>
internal sealed record KnownKey(Grant Grant, DateTimeOffset At);
