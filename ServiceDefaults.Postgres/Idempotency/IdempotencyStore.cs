using System.Text.Json;
using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Idempotency;

/// <summary>The response stored for a key.</summary>
internal sealed record StoredResponse(int Status, IReadOnlyDictionary<string, string> Headers, byte[] Body);

/// <summary>A key claimed by this request. All writes are conditional on its token.</summary>
internal sealed record IdempotencyClaim(string Caller, string Key, Guid Token);

/// <summary>The result of claiming a key, at most one of: a claim, a stored response, used for another request. None of them: in progress.</summary>
internal sealed record ClaimResult(IdempotencyClaim? Claim = null, StoredResponse? Response = null, bool OtherRequest = false);

/// <summary>Statements on <c>idempotency_keys</c>.</summary>
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

    /// <summary>Stores the response in the transaction of the effect. False when the claim was taken over.</summary>
    public static async Task<bool> CompleteAsync(NpgsqlTransaction transaction, IdempotencyClaim claim, StoredResponse response, CancellationToken cancellationToken) =>
        await Complete(claim, response).ExecuteAsync(transaction, cancellationToken) == 1;

    /// <summary>Stores the response of a request without effect.</summary>
    public async Task<bool> CompleteAsync(IdempotencyClaim claim, StoredResponse response, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return await Complete(claim, response).ExecuteAsync(connection, cancellationToken) == 1;
    }

    /// <summary>Releases a key without a final response, so that the next request with it starts afresh. If the database is unavailable, as soon as it is back.</summary>
    public async Task ReleaseAsync(IdempotencyClaim claim, CancellationToken cancellationToken)
    {
        try
        {
            await abandoned.ReleaseAsync([claim], cancellationToken);
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
                -- Expired, or its claim has: the process that held it was killed or is too slow.
                where i.expires_at <= now() or (i.status is null and i.claimed_until <= now() and i.fingerprint = excluded.fingerprint)
                """, new { claim.Caller, claim.Key, fingerprint, claim.Token, options.Value.Claim, options.Value.Retention }, cancellationToken: cancellationToken));
            if (claimed == 1)
            {
                return new(Claim: claim);
            }

            var row = await connection.QuerySingleOrDefaultAsync<Row>(new CommandDefinition(
                """
                select fingerprint, status, headers, body from idempotency_keys where caller = @Caller and key = @Key
                """, claim, cancellationToken: cancellationToken));
            if (row is null)
            {
                // The other request released its claim in between.
                continue;
            }

            if (!row.Fingerprint.AsSpan().SequenceEqual(fingerprint))
            {
                return new(OtherRequest: true);
            }

            return new(Response: row.Status is { } status ? new(status, JsonSerializer.Deserialize<Dictionary<string, string>>(row.Headers!)!, row.Body!) : null);
        }
    }

    private static Statements Complete(IdempotencyClaim claim, StoredResponse response) => new(
        """
        update idempotency_keys set status = @Status, headers = @headers::jsonb, body = @Body
        where caller = @Caller and key = @Key and claim = @Token and status is null
        """,
        new { response.Status, headers = JsonSerializer.Serialize(response.Headers), response.Body, claim.Caller, claim.Key, claim.Token });

    private sealed record Row(byte[] Fingerprint, int? Status, string? Headers, byte[]? Body);
}
