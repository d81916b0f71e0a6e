using Microsoft.AspNetCore.Http.HttpResults;
using Npgsql;
using Platform.Backend.Database;
using Platform.ServiceDefaults.Paging;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Idempotency;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Owners;

/// <summary>Reads rows of <c>api_keys</c>. Revoked keys remain in the table but are never returned.</summary>
internal static class ApiKeyRows
{
    public const string Select =
        "select k.id, k.name, o.id, o.name, k.scopes, k.created_at, k.expires_at, k.last_used_at from api_keys k join owners o on o.id = k.owner_id where k.revoked_at is null";

    public static ApiKey Read(NpgsqlDataReader row) => new()
    {
        Id = row.GetGuid(0),
        Name = row.GetString(1),
        Owner = new(row.GetGuid(2), row.GetString(3)),
        Scopes = row.GetFieldValue<string[]>(4),
        CreatedAt = row.GetFieldValue<DateTimeOffset>(5),
        ExpiresAt = row.GetNullable<DateTimeOffset>(6),
        LastUsedAt = row.GetNullable<DateTimeOffset>(7),
    };
}

/// <summary>Finds one key.</summary>
internal sealed class FindApiKey(PostgresDatabase database)
{
    /// <summary>The key, or null if there is none with this id or it was revoked.</summary>
    public Task<ApiKey?> ExecuteAsync(Guid id, CancellationToken cancellationToken) =>
        database.FindAsync($"{ApiKeyRows.Select} and k.id = $1", [id], ApiKeyRows.Read, cancellationToken);
}

/// <summary>Lists keys, newest first.</summary>
internal sealed class ListApiKeys(PostgresDatabase database)
{
    /// <summary>Up to <paramref name="limit"/> keys older than the one with the id <paramref name="after"/>, or the newest ones.</summary>
    public async Task<Page<ApiKey>> ExecuteAsync(Guid? after, int limit, CancellationToken cancellationToken)
    {
        var keys = await database.ListAsync(
            $"{ApiKeyRows.Select} and ($1::uuid is null or k.id < $1) order by k.id desc limit $2", [after, limit + 1], ApiKeyRows.Read, cancellationToken);
        return Page.Of(keys, limit, key => key.Id);
    }
}

/// <summary>Creates a key, and its owner if that is new.</summary>
internal sealed partial class MakeApiKey(Caller caller, PostgresDatabase database, Idempotency idempotency, TimeProvider time, ILogger<MakeApiKey> logger)
{
    /// <summary>
    /// 201 with the new key; or 400 naming each invalid field. With an <c>Idempotency-Key</c> the response is stored without the key itself, so that it is never in the
    /// database. A client that lost the first response repeats the call, learns the key's id, and revokes it.
    /// </summary>
    public async Task<Results<Created<MadeApiKey>, ValidationProblem>> ExecuteAsync(NewApiKey input, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        var errors = new ValidationErrors();
        Check(errors, input, now);
        if (errors.Any)
            return errors.ToResult();

        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        var ownerId = input.Owner is { } owner
            ? (await MakeOwner.InsertAsync(transaction, owner.Name.Trim(), now, cancellationToken)).Id
            : input.OwnerId ?? caller.OwnerId;
        var key = KeyFormat.NewKey();
        await using var command = transaction.Command(
            """
            insert into api_keys (id, owner_id, name, digest, scopes, created_at, expires_at)
            select $1, o.id, $3, $4, $5, $6, $7 from owners o where o.id = $2
            returning (select name from owners where id = owner_id)
            """,
            Guid.CreateVersion7(now), ownerId, input.Name.Trim(), KeyFormat.DigestOf(key), Scopes.All.Where(input.Scopes.Contains).ToArray(), now, input.ExpiresAt?.ToUniversalTime());
        if (await command.ExecuteScalarAsync(cancellationToken) is not string ownerName)
            return errors.Add("ownerId", "is not the id of an owner").ToResult();

        var made = new MadeApiKey
        {
            Id = (Guid)command.Parameters[0].Value!,
            Name = input.Name.Trim(),
            Owner = new(ownerId, ownerName),
            Scopes = [.. Scopes.All.Where(input.Scopes.Contains)],
            CreatedAt = now,
            ExpiresAt = input.ExpiresAt?.ToUniversalTime(),
        };
        await idempotency.CommitAsync(transaction, TypedResults.Created($"/api/keys/{made.Id}", made), cancellationToken);
        LogMade(logger, made.Id, string.Join(", ", made.Scopes), ownerId, caller.OwnerId);
        return TypedResults.Created($"/api/keys/{made.Id}", made with { Key = key });
    }

    private static void Check(ValidationErrors errors, NewApiKey input, DateTimeOffset now)
    {
        OwnerRules.CheckName(errors, "name", input.Name);
        if (input.Scopes.Count == 0 || input.Scopes.Any(scope => !Scopes.All.Contains(scope)))
            errors.Add("scopes", $"must be one or more of {string.Join(", ", Scopes.All)}");
        if (input is { OwnerId: not null, Owner: not null })
            errors.Add("owner", "must not be given together with ownerId");
        if (input.Owner is { } owner)
            OwnerRules.CheckName(errors, "owner.name", owner.Name);
        if (input.ExpiresAt <= now)
            errors.Add("expiresAt", "must be in the future");
    }

    [LoggerMessage(LogLevel.Information, "Key {KeyId} with scopes {Scopes} was created for owner {OwnerId} by {CallerId}")]
    private static partial void LogMade(ILogger logger, Guid keyId, string scopes, Guid ownerId, Guid callerId);
}

/// <summary>Revokes a key, which also ends the sessions that were started with it.</summary>
internal sealed partial class RevokeApiKey(Caller caller, PostgresDatabase database, Idempotency idempotency, KnownKeys known, TimeProvider time, ILogger<RevokeApiKey> logger)
{
    /// <summary><paramref name="done"/>; or 404, also if it is already revoked.</summary>
    public async Task<Results<T, ProblemHttpResult>> ExecuteAsync<T>(Guid id, T done, CancellationToken cancellationToken) where T : IResult
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await using var command = transaction.Command("update api_keys set revoked_at = $2 where id = $1 and revoked_at is null returning digest", id, time.GetUtcNow());
        if (await command.ExecuteScalarAsync(cancellationToken) is not byte[] digest)
            return OwnerProblems.NoKey(id);

        await idempotency.CommitAsync(transaction, done, cancellationToken);
        known.Forget(digest);
        LogRevoked(logger, id, caller.OwnerId);
        return done;
    }

    [LoggerMessage(LogLevel.Information, "Key {KeyId} was revoked by {CallerId}")]
    private static partial void LogRevoked(ILogger logger, Guid keyId, Guid callerId);
}

/// <summary>Problems that several endpoints return.</summary>
internal static class OwnerProblems
{
    public static ProblemHttpResult NoKey(Guid id) => Problem.NotFound($"There is no key '{id}'.");

    public static ProblemHttpResult NoOwner(Guid id) => Problem.NotFound($"There is no owner '{id}'.");
}
