using Dapper;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.StoreDeployer.Releases;

/// <summary>Reads a stored release back: every file must be there with the content that its digest says.</summary>
internal sealed class CheckRelease(PostgresDatabase database)
{
    /// <summary>Checks all files of <paramref name="release"/>.</summary>
    /// <exception cref="InvalidDataException">A file is not what it should be.</exception>
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
            throw new InvalidDataException($"Release {release} is not whole: {broken ?? "it has no files"}.");
    }
}
