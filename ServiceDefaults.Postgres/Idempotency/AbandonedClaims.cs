using System.Threading.Channels;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Idempotency;

/// <summary>
/// Releases keys that this process may hold without working on them, because the database became unavailable before it confirmed the claim or its release. Runs as soon as the
/// database is available again, so that a client that retries need not wait until the claim expires.
/// </summary>
internal sealed class AbandonedClaims(PostgresDatabase database, TimeProvider time) : BackgroundService
{
    private const int Batch = 100;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    private readonly Channel<IdempotencyClaim> _claims = Channel.CreateUnbounded<IdempotencyClaim>(new() { SingleReader = true });

    public void Add(IdempotencyClaim claim) => _claims.Writer.TryWrite(claim);

    public Task ReleaseAsync(IReadOnlyCollection<IdempotencyClaim> claims, CancellationToken cancellationToken) =>
        database.ExecuteAsync(
            """
            delete from idempotency_keys i using unnest(@callers, @keys, @tokens) as abandoned (caller, key, claim)
            where i.caller = abandoned.caller and i.key = abandoned.key and i.claim = abandoned.claim and i.status is null
            """,
            new
            {
                callers = claims.Select(claim => claim.Caller).ToArray(),
                keys = claims.Select(claim => claim.Key).ToArray(),
                tokens = claims.Select(claim => claim.Token).ToArray(),
            }, cancellationToken);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var held = new List<IdempotencyClaim>(Batch);
        while (held.Count > 0 || await _claims.Reader.WaitToReadAsync(stoppingToken))
        {
            while (held.Count < Batch && _claims.Reader.TryRead(out var claim))
            {
                held.Add(claim);
            }

            try
            {
                await ReleaseAsync(held, stoppingToken);
                held.Clear();
            }
            catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception))
            {
                await Task.Delay(Pause, time, stoppingToken);
            }
        }
    }
}
