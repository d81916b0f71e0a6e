using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Eventing;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

#pragma warning disable ASPIREPIPELINES001
namespace Aspire.Hosting.Pipelines;

/// <summary>Publish mode: runs the pipeline, then ends the program; and says how it went.</summary>
internal sealed class PipelineRunner(
    IDistributedApplicationPipeline pipeline,
    DistributedApplicationModel model,
    DistributedApplicationExecutionContext executionContext,
    IDistributedApplicationEventing eventing,
    IServiceProvider services,
    IHostApplicationLifetime lifetime,
    ILogger<DistributedApplication> logger) : BackgroundService
{
    public Exception? Failure { get; private set; }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await eventing.PublishAsync(new BeforeStartEvent(services, model), stoppingToken).ConfigureAwait(false);
            await pipeline.ExecuteAsync(new PipelineContext(model, executionContext, services, logger, stoppingToken)).ConfigureAwait(false);
        }
#pragma warning disable CA1031 // whatever it is, it is reported and ends the program with an error
        catch (Exception e) when (!stoppingToken.IsCancellationRequested)
#pragma warning restore CA1031
        {
            logger.LogError(e, "The pipeline failed: {Message}", e.Message);
            Failure = e;
        }
        finally
        {
            lifetime.StopApplication();
        }
    }
}
