using Aspire.Hosting;
using Aspire.Hosting.Pipelines;
using Microsoft.Extensions.DependencyInjection;

#pragma warning disable ASPIREPIPELINES001, ASPIREPIPELINES004 // the pipeline is what AppHost publishes with

namespace Platform.AppHost.Kubernetes;

internal static class KubernetesManifestsExtensions
{
    /// <summary>
    /// Publishing writes the whole app model as Kubernetes manifests for Kustomize: <c>base/</c>, <c>overlays/</c> and <c>components/</c> in
    /// <c>--output-path</c>. No value of a secret parameter is asked for, and none is written.
    /// </summary>
    public static void AddKubernetesManifests(this IDistributedApplicationBuilder builder)
    {
        if (!builder.ExecutionContext.IsPublishMode)
            return;

        var deploy = Path.GetFullPath("../deploy", builder.AppHostDirectory);
        builder.Pipeline.AddStep("kubernetes", context => PublishAsync(context, deploy), requiredBy: WellKnownPipelineSteps.Publish);
    }

    private static async Task PublishAsync(PipelineStepContext context, string deploy)
    {
        try
        {
            await WriteAsync(context, deploy);
        }
        catch (DistributedApplicationException e)
        {
            // Beside all that the pipeline logs of it, and with an exit code, which the pipeline leaves at 0.
            await Console.Error.WriteLineAsync(e.Message);
            Environment.ExitCode = 1;
            throw;
        }
    }

    private static async Task WriteAsync(PipelineStepContext context, string deploy)
    {
        var platform = await PublishedPlatform.ReadAsync(context.Model, context.ExecutionContext, context.CancellationToken);

        var files = new SortedDictionary<string, string>(StringComparer.Ordinal);
        BaseManifests.Write(files, platform);
        HostsComponent.Write(files, platform);
        PostgresComponent.Write(files, platform);
        MonitoringComponent.Write(files, platform, deploy);
        Overlays.Write(files, platform);
        Instructions.Write(files, platform);

        var output = context.Services.GetRequiredService<IPipelineOutputService>().GetOutputDirectory();
        foreach (var remark in OutputDirectory.Write(output, files))
            await Console.Error.WriteLineAsync(remark);
    }
}
