using Dapper;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.Templates;

namespace Platform.TemplateRegistry.Bundles;

/// <summary>Reads bundles from the database.</summary>
internal sealed partial class ReadBundle(PostgresDatabase database, ILogger<ReadBundle> logger)
{
    /// <summary>The digest of a version's bundle; null when there is no such version.</summary>
    public Task<BundleDigest?> FindDigestAsync(string name, string version, CancellationToken cancellationToken) => database.ReadAsync(async connection =>
        await connection.ExecuteScalarAsync<string>(new CommandDefinition(
            "select digest from template_versions where name = @name and version = @version",
            new { name, version }, cancellationToken: cancellationToken)) is { } digest
            ? BundleDigest.Parse(digest)
            : null, cancellationToken);

    /// <summary>
    /// A bundle's bytes; null if there is no such bundle. Bundles are at most 10 MiB and read completely instead of being streamed, so that a slow client
    /// doesn't occupy a database connection.
    /// </summary>
    public async Task<byte[]?> FindContentAsync(BundleDigest digest, CancellationToken cancellationToken)
    {
        var content = await database.ReadAsync(async connection => await connection.ExecuteScalarAsync<byte[]?>(new CommandDefinition(
            "select content from bundles where digest = @digest", new { digest = digest.ToString() }, cancellationToken: cancellationToken)), cancellationToken);
        if (content is not null)
            LogRead(logger, digest, content.Length);
        return content;
    }

    [LoggerMessage(LogLevel.Information, "Sending bundle {Digest}, {Size} bytes")]
    private static partial void LogRead(ILogger logger, BundleDigest digest, int size);
}
