using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Eventing;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Dcp;

/// <summary>Run mode: starts the resources with the host and ends them with it.</summary>
internal sealed class ApplicationRunner(
    Orchestrator orchestrator, DistributedApplicationModel model, IDistributedApplicationEventing eventing, IServiceProvider services, ILogger<DistributedApplication> logger) : IHostedService
{
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await eventing.PublishAsync(new BeforeStartEvent(services, model), cancellationToken).ConfigureAwait(false);
        try
        {
            await orchestrator.StartAsync(cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await orchestrator.StopAsync().ConfigureAwait(false);
            throw;
        }

        logger.LogInformation("Distributed application started. Press Ctrl+C to shut down.");
    }

    public Task StopAsync(CancellationToken cancellationToken) => orchestrator.StopAsync();
}
