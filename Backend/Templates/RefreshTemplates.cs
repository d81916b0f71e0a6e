using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Templates;

/// <summary>
/// Caches the catalog and the parameters of each latest version in advance, so that shops can use them even if the registry goes down before their first use. Also
/// reports how many shops use each template.
/// </summary>
internal sealed partial class RefreshTemplates(
    IServiceScopeFactory scopes, DatabaseMigrations migrations, IOptionsMonitor<TemplateOptions> options, TimeProvider time, ILogger<RefreshTemplates> logger)
    : BackgroundService
{
    private static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(2);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await migrations.WaitAsync(stoppingToken);
        while (!stoppingToken.IsCancellationRequested)
        {
            var complete = false;
            try
            {
                complete = await RefreshAsync(stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (DependencyUnavailableException exception)
            {
                LogNotRefreshed(logger, exception.InnerException?.Message ?? exception.Message);
            }

            var pause = complete ? options.CurrentValue.RefreshEvery : RetryDelay;
            await Task.Delay(pause, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <returns>Whether the catalog came from the registry; false if it came from the cache.</returns>
    private async Task<bool> RefreshAsync(CancellationToken cancellationToken)
    {
        await using var scope = scopes.CreateAsyncScope();
        var catalog = scope.ServiceProvider.GetRequiredService<TemplateCatalog>();
        var templates = await catalog.ListAsync(cancellationToken);
        foreach (var template in templates.Value)
        {
            if (template.LatestVersion is { } latest)
                await catalog.FindContentAsync(template.Name, latest, cancellationToken);
        }

        await scope.ServiceProvider.GetRequiredService<ReportTemplateUsage>().ExecuteAsync(cancellationToken);
        return !templates.Stale;
    }

    [LoggerMessage(LogLevel.Information, "Could not refresh the templates, trying again: {Reason}")]
    private static partial void LogNotRefreshed(ILogger logger, string reason);
}
