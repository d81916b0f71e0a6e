using Dapper;
using Npgsql;
using Platform.Templates;

namespace Platform.TemplateRegistry.Bundles;

/// <summary>Reads bundles by their digest.</summary>
internal sealed class ReadBundle(NpgsqlDataSource dataSource)
{
    /// <summary>The digest of a version's bundle; null when there is no such version.</summary>
    public async Task<BundleDigest?> FindDigestAsync(string name, string version, CancellationToken cancellationToken)
    {
        await using var connection = await dataSource.OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteScalarAsync<string>(new CommandDefinition(
            "select digest from template_versions where name = @name and version = @version",
            new { name, version }, cancellationToken: cancellationToken)) is { } digest
            ? BundleDigest.Parse(digest)
            : null;
    }

    /// <summary>A bundle's size in bytes; null when there is no such bundle.</summary>
    public async Task<int?> FindSizeAsync(BundleDigest digest, CancellationToken cancellationToken)
    {
        await using var connection = await dataSource.OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteScalarAsync<int?>(new CommandDefinition(
            "select size from bundles where digest = @digest", new { digest = digest.ToString() }, cancellationToken: cancellationToken));
    }

    /// <summary>
    /// A bundle's bytes; null when there is no such bundle. Read as a whole, at most 10 MiB, and not streamed: a slow reader must
    /// not keep a database connection.
    /// </summary>
    public async Task<byte[]?> FindContentAsync(BundleDigest digest, CancellationToken cancellationToken)
    {
        await using var connection = await dataSource.OpenConnectionAsync(cancellationToken);
        return await connection.ExecuteScalarAsync<byte[]>(new CommandDefinition(
            "select content from bundles where digest = @digest", new { digest = digest.ToString() }, cancellationToken: cancellationToken));
    }
}
