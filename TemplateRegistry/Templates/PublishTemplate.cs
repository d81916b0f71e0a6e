using System.Text.Json;
using Dapper;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.Templates;

namespace Platform.TemplateRegistry.Templates;

internal enum PublishOutcome { Created, AlreadyThere, DigestDiffers }

/// <summary>Stores a bundle as the version named in its manifest. A published version is immutable.</summary>
internal sealed class PublishTemplate(PostgresDatabase database)
{
    /// <summary>The outcome, and the published version. With <see cref="PublishOutcome.DigestDiffers"/> that is the version published earlier.</summary>
    public async Task<(PublishOutcome Outcome, TemplateVersion Version)> ExecuteAsync(TemplateBundle bundle, CancellationToken cancellationToken)
    {
        var (name, version) = (bundle.Manifest.Name, bundle.Manifest.Version);
        await using var connection = await database.OpenConnectionAsync(cancellationToken);
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);

        // The bundle is sent first, so that the template's row is not locked during the transfer of up to 50 MiB.
        await connection.ExecuteAsync(new CommandDefinition(
            "insert into bundles (digest, content) values (@digest, @content) on conflict do nothing",
            new { digest = bundle.Digest.ToString(), content = bundle.Zip }, transaction, cancellationToken: cancellationToken));
        await connection.ExecuteAsync(new CommandDefinition(
            "insert into templates (name) values (@name) on conflict do nothing", new { name }, transaction, cancellationToken: cancellationToken));
        await LatestVersion.LockTemplateAsync(transaction, name, cancellationToken);

        var created = await connection.ExecuteAsync(new CommandDefinition(
            """
            insert into template_versions (name, version, digest, title, description, parameters)
            values (@name, @version, @digest, @title, @description, @parameters::jsonb)
            on conflict do nothing
            """,
            new
            {
                name,
                version,
                digest = bundle.Digest.ToString(),
                title = bundle.Manifest.Title,
                description = bundle.Manifest.Description,
                parameters = JsonSerializer.Serialize(bundle.Manifest.Parameters, PlatformJson.Tolerant),
            }, transaction, cancellationToken: cancellationToken)) == 1;
        if (created)
            await LatestVersion.UpdateInLockAsync(transaction, name, cancellationToken);

        var stored = (await ReadTemplates.FindVersionAsync(connection, name, version, cancellationToken))!;
        if (!created)
        {
            // Rolled back, so that a bundle without a version is not kept.
            await transaction.RollbackAsync(cancellationToken);
            return (stored.Digest == bundle.Digest.ToString() ? PublishOutcome.AlreadyThere : PublishOutcome.DigestDiffers, stored);
        }

        await transaction.CommitAsync(cancellationToken);
        return (PublishOutcome.Created, stored);
    }
}
