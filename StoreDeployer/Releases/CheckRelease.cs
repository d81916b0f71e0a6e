using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Releases;

/// <summary>Verifies that a stored release has files, and that the content of each matches its digest.</summary>
internal sealed class CheckRelease(PostgresDatabase database)
{
    /// <exception cref="InvalidDataException">The release has no files, or a file is corrupt.</exception>
    public async Task ExecuteAsync(Guid release, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        var (files, broken) = await connection.QuerySingleAsync<(long Files, string? Broken)>(new CommandDefinition(
            """
            select count(*), min(r.path) filter (where sha256(f.content) <> f.digest)
            from release_files r join files f on f.digest = r.digest
            where r.release_id = @release
            """, new { release }, cancellationToken: cancellationToken));
        if (files == 0 || broken is not null)
            throw new InvalidDataException($"Release {release} is corrupt: {broken ?? "it has no files"}.");
    }
}
