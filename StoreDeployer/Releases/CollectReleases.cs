using Dapper;
using Microsoft.Extensions.Options;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Releases;

/// <summary>
/// Deletes old releases beyond those retained, and files that no release refers to. The active release is kept, and those that a queued or running deployment may
/// still activate.
/// </summary>
internal sealed partial class CollectReleases(
    PostgresDatabase database, DatabaseMigrations migrations, IOptions<StoreOptions> options, TimeProvider time, ILogger<CollectReleases> logger) : BackgroundService
{
    private const int Batch = 200;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        using var timer = new PeriodicTimer(options.Value.CollectInterval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await ExecuteOnceAsync(stoppingToken);
            }
            catch (Exception e) when (e is NpgsqlException || DatabaseProblems.IsUnavailable(e))
            {
                LogFailure(logger, DatabaseProblems.IsUnavailable(e) ? null : e, e.Message);
            }
        }
    }

    public async Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        int releases = 0, files = 0;
        while (await DeleteReleasesAsync(cancellationToken) is > 0 and var deleted)
            releases += deleted;
        while (await DeleteFilesAsync(cancellationToken) is > 0 and var deleted)
            files += deleted;
        if (releases + files > 0)
            LogCollected(logger, releases, files);
    }

    private async Task<int> DeleteReleasesAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteAsync(new CommandDefinition(
            """
            with ranked as (
              select r.id, s.taken_down_at is not null as taken_down, r.activated_at is null as unused,
                row_number() over (partition by r.shop_id, r.activated_at is null order by r.id = s.active_release desc, r.activated_at desc) as rank
              from releases r join stores s on s.shop_id = r.shop_id)
            delete from releases where id in (
              select ranked.id from ranked
              where (ranked.taken_down or ranked.unused or ranked.rank > @RetainedReleases)
                and not exists (select from stores s where s.active_release = ranked.id)
                and not exists (select from deployments d join releases r on r.id = ranked.id
                                where (d.id = r.deployment_id or d.rollback_to = r.id) and d.status in ('queued', 'running'))
              limit @Batch)
            """, new { options.Value.RetainedReleases, Batch }, cancellationToken: cancellationToken));
    }

    private async Task<int> DeleteFilesAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        if (!await FilesLock.TryTakeAsync(transaction, cancellationToken))
            return 0;
        var deleted = await connection.ExecuteAsync(new CommandDefinition(
            """
            delete from files where digest in (
              select f.digest from files f where not exists (select from release_files r where r.digest = f.digest) limit @Batch)
            """, new { Batch }, transaction, cancellationToken: cancellationToken));
        await transaction.CommitAsync(cancellationToken);
        return deleted;
    }

    [LoggerMessage(LogLevel.Information, "Deleted {Releases} old releases and {Files} unused files")]
    private static partial void LogCollected(ILogger logger, int releases, int files);

    [LoggerMessage(LogLevel.Warning, "Could not delete old releases: {Reason}")]
    private static partial void LogFailure(ILogger logger, Exception? exception, string reason);
}
