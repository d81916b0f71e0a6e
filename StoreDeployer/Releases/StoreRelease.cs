using Dapper;
using Npgsql;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Deployments;
using Platform.StoreDeployer.Deployments.Queue;
using Platform.StoreDeployer.Stores;

namespace Platform.StoreDeployer.Releases;

/// <summary>
/// Stores a deployment's release and those of its files that the database doesn't have yet. Replaces a release left behind by an earlier attempt.
/// </summary>
internal sealed class StoreRelease(PostgresDatabase database, DigestCache cache, ReleaseContents contents)
{
    /// <returns>The release's id.</returns>
    /// <exception cref="LeaseLostException">The lease is lost; nothing was written.</exception>
    public async Task<Guid> ExecuteAsync(DeploymentJob job, IReadOnlyList<ReleaseFile> files, CancellationToken cancellationToken)
    {
        // Fill this process's cache too, so that the release can be served immediately after its activation.
        var caching = Task.WhenAll(files.Select(file => cache.WriteAsync(file.Digest, file.Content, cancellationToken)));
        var release = await WriteAsync(job, files, cancellationToken);
        contents.Add(release, files);
        await caching;
        return release;
    }

    private async Task<Guid> WriteAsync(DeploymentJob job, IReadOnlyList<ReleaseFile> files, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await FilesLock.ShareAsync(transaction, cancellationToken);

        // Files are inserted in the order of their digests, so that two releases with common files can't deadlock. They come before the lock on the deployment: a worker that
        // waits here for a paused one doesn't hold its own deployment's row, so its lease can still be renewed.
        var distinct = files.DistinctBy(file => file.Digest).ToDictionary(file => file.Digest);
        var missing = (await connection.QueryAsync<byte[]>(new CommandDefinition(
            "select d from unnest(@digests) as d where not exists (select from files f where f.digest = d)",
            new { digests = distinct.Keys.Select(digest => digest.Bytes).ToArray() }, transaction, cancellationToken: cancellationToken)))
            .Select(FileDigest.From).OrderBy(digest => digest.Hex, StringComparer.Ordinal).ToList();
        await connection.ExecuteAsync(new CommandDefinition(
            """
            insert into files (digest, size, content)
            select digest, octet_length(content), content from unnest(@digests, @contents) as f (digest, content)
            on conflict do nothing
            """,
            new { digests = missing.Select(digest => digest.Bytes).ToArray(), contents = missing.Select(digest => distinct[digest].Content.ToArray()).ToArray() },
            transaction, cancellationToken: cancellationToken));

        var release = Guid.CreateVersion7();
        await job.FencedAsync(() => job.AssertHeld().Then(new Statements(
            """
            delete from releases where deployment_id = @Id;
            insert into releases (id, shop_id, deployment_id, template_name, template_version, template_digest)
            values (@release, @ShopId, @Id, @TemplateName, @TemplateVersion, @TemplateDigest);
            insert into release_files (release_id, path, digest, content_type)
            select @release, * from unnest(@paths, @digests, @types)
            """,
            new
            {
                release,
                job.Id,
                job.ShopId,
                job.TemplateName,
                job.TemplateVersion,
                job.TemplateDigest,
                paths = files.Select(file => file.Path).ToArray(),
                digests = files.Select(file => file.Digest.Bytes).ToArray(),
                types = files.Select(file => file.ContentType).ToArray(),
            })).ExecuteAsync(transaction, cancellationToken));
        await transaction.CommitAsync(cancellationToken);
        return release;
    }
}

/// <summary>
/// Excludes deleting unused files from storing a release: otherwise a release could rely on an existing file that is about to be deleted.
/// </summary>
internal static class FilesLock
{
    // "file" in ASCII.
    private const int Key = 0x66696C65;

    public static Task ShareAsync(NpgsqlTransaction transaction, CancellationToken cancellationToken) =>
        transaction.Connection!.ExecuteAsync(new CommandDefinition(
            "select pg_advisory_xact_lock_shared(@Key)", new { Key = (long)Key }, transaction, cancellationToken: cancellationToken));

    /// <summary>Takes the exclusive lock. False if a release is being stored.</summary>
    public static Task<bool> TryTakeAsync(NpgsqlTransaction transaction, CancellationToken cancellationToken) =>
        transaction.Connection!.ExecuteScalarAsync<bool>(new CommandDefinition(
            "select pg_try_advisory_xact_lock(@Key)", new { Key = (long)Key }, transaction, cancellationToken: cancellationToken));
}
