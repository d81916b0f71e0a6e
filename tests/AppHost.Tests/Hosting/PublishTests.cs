using Aspire.Hosting;
using Aspire.Hosting.Pipelines;
using Microsoft.Extensions.DependencyInjection;

#pragma warning disable ASPIREPIPELINES001, ASPIREPIPELINES004 // the pipeline is what AppHost publishes with

namespace Platform.AppHost.Tests.Hosting;

public sealed class PublishTests
{
    [Fact]
    public async Task Steps_run_in_the_order_of_their_dependencies_with_the_output_folder_of_the_command_line()
    {
        var output = Directory.CreateTempSubdirectory("publish-").FullName;
        var builder = DistributedApplication.CreateBuilder(["--operation", "publish", "--step", "publish", "--output-path", output]);
        builder.ExecutionContext.IsPublishMode.ShouldBeTrue();
        var ran = new List<string>();
        builder.Pipeline.AddStep("second", context =>
        {
            var outputs = context.Services.GetRequiredService<IPipelineOutputService>();
            ran.Add($"second {outputs.GetOutputDirectory()} {string.Join(' ', context.Model.Resources.Select(r => r.Name))}");
            return Task.CompletedTask;
        }, dependsOn: "first", requiredBy: WellKnownPipelineSteps.Publish);
        builder.Pipeline.AddStep("first", _ =>
        {
            ran.Add("first");
            return Task.CompletedTask;
        });
        builder.Pipeline.AddStep("unwanted", _ =>
        {
            ran.Add("unwanted");
            return Task.CompletedTask;
        });
        builder.AddExecutable("never-run", "/bin/false", ".");

        await using var app = builder.Build();
        await app.RunAsync(TestApplication.Deadline());

        ran.ShouldBe(["first", $"second {output} never-run"]);
    }
}
