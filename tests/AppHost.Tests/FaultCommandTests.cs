using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;

namespace Platform.AppHost.Tests;

/// <summary>The model alone: nothing is started.</summary>
public sealed class FaultCommandTests
{
    [Theory]
    [InlineData("Development", new[] { "break", "slow", "heal" })]
    [InlineData("Staging", new string[0])]
    [InlineData("Production", new string[0])]
    public async Task Services_can_be_broken_in_development_only(string environment, string[] offered)
    {
        using var data = new DataDirectory();
        await using var builder = await DistributedApplicationTestingBuilder.CreateAsync<Projects.AppHost>(
            [$"--environment={environment}", $"--DataDirectory={data.Path}", "--Database=local"], TestContext.Current.CancellationToken);

        foreach (var service in builder.Resources.OfType<ProjectResource>())
            service.Annotations.OfType<ResourceCommandAnnotation>().Select(command => command.Name).Intersect(["break", "slow", "heal"]).ShouldBe(offered, service.Name);
    }
}
