using System.Text.Json;
using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Idempotency;

/// <summary>The answer that a key got, as it went out.</summary>
internal sealed record StoredAnswer(int Status, IReadOnlyDictionary<string, string> Headers, byte[] Body);

/// <summary>A key that this request works on.</summary>
internal sealed record IdempotencyClaim(string Caller, string Key, Guid Token);

/// <summary>What claiming a key came to: exactly one of a claim, an earlier answer, another payload, or in progress.</summary>
internal sealed record ClaimResult(IdempotencyClaim? Claim = null, StoredAnswer? Answer = null, bool OtherRequest = false, TimeSpan? InProgressFor = null);

/// <summary>The statements on <c>idempotency_keys</c>.</summary>
internal sealed class IdempotencyStore(PostgresDatabase database, AbandonedClaims abandoned, IOptions<IdempotencyOptions> options)
{
    public async Task<ClaimResult> ClaimAsync(string caller, string key, byte[] fingerprint, CancellationToken cancellationToken)
    {
        var claim = new IdempotencyClaim(caller, key, Guid.NewGuid());
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        try
        {
            return await ClaimAsync(connection, claim, fingerprint, cancellationToken);
        }
        catch
        {
            abandoned.Add(claim);
            throw;
        }
    }

    /// <summary>Stores the answer within the transaction of the effect. False when the claim was taken over.</summary>
    public static async Task<bool> CompleteAsync(NpgsqlTransaction transaction, IdempotencyClaim claim, StoredAnswer answer, CancellationToken cancellationToken) =>
        await transaction.Connection!.ExecuteAsync(Complete(claim, answer, transaction, cancellationToken)) == 1;

    /// <summary>Stores an answer that had no effect.</summary>
    public async Task<bool> CompleteAsync(IdempotencyClaim claim, StoredAnswer answer, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteAsync(Complete(claim, answer, null, cancellationToken)) == 1;
    }

    /// <summary>Gives a key back that got no final answer, so that the next request with it starts afresh: at once, or as soon as the database answers again.</summary>
    public async Task ReleaseAsync(IdempotencyClaim claim, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = await database.OpenConnectionAsync(cancellationToken);
            await AbandonedClaims.ReleaseAsync(connection, [claim], cancellationToken);
        }
        catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception))
        {
            abandoned.Add(claim);
        }
    }

    private async Task<ClaimResult> ClaimAsync(NpgsqlConnection connection, IdempotencyClaim claim, byte[] fingerprint, CancellationToken cancellationToken)
    {
        while (true)
        {
            var claimed = await connection.ExecuteAsync(new CommandDefinition(
                """
                insert into idempotency_keys as i (caller, key, fingerprint, claim, claimed_until, expires_at)
                values (@Caller, @Key, @fingerprint, @Token, now() + @Claim, now() + @Retention)
                on conflict (caller, key) do update
                set fingerprint = excluded.fingerprint, claim = excluded.claim, claimed_until = excluded.claimed_until,
                    status = null, headers = null, body = null, created_at = now(), expires_at = excluded.expires_at
                -- forgotten by now, or left behind by a process that was killed before it had an answer
                where i.expires_at <= now() or (i.status is null and i.claimed_until <= now() and i.fingerprint = excluded.fingerprint)
                """, new { claim.Caller, claim.Key, fingerprint, claim.Token, options.Value.Claim, options.Value.Retention }, cancellationToken: cancellationToken));
            if (claimed == 1)
            {
                return new(Claim: claim);
            }

            var row = await connection.QuerySingleOrDefaultAsync<Row>(new CommandDefinition(
                """
                select fingerprint, status, headers, body, extract(epoch from claimed_until - now())::float8 as ClaimedForSeconds
                from idempotency_keys where caller = @Caller and key = @Key
                """, claim, cancellationToken: cancellationToken));
            if (row is null)
            {
                // the other request gave its claim back in between
                continue;
            }

            if (!row.Fingerprint.AsSpan().SequenceEqual(fingerprint))
            {
                return new(OtherRequest: true);
            }

            return row.Status is { } status
                ? new(Answer: new(status, JsonSerializer.Deserialize<Dictionary<string, string>>(row.Headers!)!, row.Body!))
                : new(InProgressFor: TimeSpan.FromSeconds(Math.Max(0, row.ClaimedForSeconds)));
        }
    }

    private static CommandDefinition Complete(IdempotencyClaim claim, StoredAnswer answer, NpgsqlTransaction? transaction, CancellationToken cancellationToken) => new(
        """
        update idempotency_keys set status = @Status, headers = @headers::jsonb, body = @Body
        where caller = @Caller and key = @Key and claim = @Token and status is null
        """,
        new { answer.Status, headers = JsonSerializer.Serialize(answer.Headers), answer.Body, claim.Caller, claim.Key, claim.Token },
        transaction, cancellationToken: cancellationToken);

    private sealed record Row(byte[] Fingerprint, int? Status, string? Headers, byte[]? Body, double ClaimedForSeconds);
}
