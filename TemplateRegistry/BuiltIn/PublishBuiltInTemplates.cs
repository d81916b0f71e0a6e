using Platform.ServiceDefaults.Health;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.TemplateRegistry.Templates;
using Platform.Templates;

namespace Platform.TemplateRegistry.BuiltIn;

/// <summary>Publishes missing built-in templates at start-up, and then marks the service as ready.</summary>
internal sealed partial class PublishBuiltInTemplates(
    PublishTemplate publish, DatabaseMigrations migrations, ReadinessGate gate, TimeProvider time, ILogger<PublishBuiltInTemplates> logger) : BackgroundService
{
    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(500);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        foreach (var bundle in BuiltInTemplates.Pack())
            await PublishAsync(bundle, stoppingToken);
        gate.MarkReady();
    }

    private async Task PublishAsync(TemplateBundle bundle, CancellationToken stoppingToken)
    {
        while (true)
        {
            try
            {
                var (outcome, stored) = await publish.ExecuteAsync(bundle, stoppingToken);
                if (outcome == PublishOutcome.Created)
                    LogPublished(logger, stored.Name, stored.Version, stored.Digest);
                else if (outcome == PublishOutcome.DigestDiffers)
                    LogDiffers(logger, stored.Name, stored.Version, stored.Digest, bundle.Digest.ToString());
                return;
            }
            catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception) && !stoppingToken.IsCancellationRequested)
            {
                LogRetrying(logger, bundle.Manifest.Name, exception.Message);
                await Task.Delay(RetryDelay, time, stoppingToken);
            }
        }
    }

    [LoggerMessage(LogLevel.Information, "Published the built-in template {Name} {Version} ({Digest})")]
    private static partial void LogPublished(ILogger logger, string name, string version, string digest);

    [LoggerMessage(LogLevel.Warning, "The built-in template {Name} {Version} is already published with digest {PublishedDigest} and stays unchanged, although this build has {Digest}. A changed template needs a new version")]
    private static partial void LogDiffers(ILogger logger, string name, string version, string publishedDigest, string digest);

    [LoggerMessage(LogLevel.Warning, "Could not publish the built-in template {Name}, trying again: {Reason}")]
    private static partial void LogRetrying(ILogger logger, string name, string reason);
}
