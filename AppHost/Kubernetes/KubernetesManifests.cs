using Aspire.Hosting;
using Aspire.Hosting.Pipelines;
using Microsoft.Extensions.DependencyInjection;

#pragma warning disable ASPIREPIPELINES001, ASPIREPIPELINES004

namespace Platform.AppHost.Kubernetes;

internal static class KubernetesManifestsExtensions
{
    /// <summary>
    /// Makes publishing write the app model as Kubernetes manifests for Kustomize: <c>base/</c>, <c>overlays/</c> and <c>components/</c> in
    /// <c>--output-path</c>. Secret parameters are neither prompted for nor written.
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
            // The pipeline only logs the exception and leaves the exit code at 0.
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
