using System.Net;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Platform.Backend.Templates;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Templates;

public sealed class TemplateUsageTests(BackendHost backend) : IClassFixture<BackendHost>
{
    [Fact]
    public async Task The_registry_is_told_how_many_shops_use_a_template()
    {
        await backend.CreateShopAsync();
        await backend.CreateShopAsync();

        await ReportAsync();

        var report = backend.Registry.Requests.Last(request => request.Path.EndsWith("/usage", StringComparison.Ordinal));
        (report.Method, report.Path).ShouldBe(("PUT", "/templates/aurora/usage"));
        JsonNode.Parse(report.Text)!["shops"]!.GetValue<int>().ShouldBeGreaterThanOrEqualTo(2);
    }

    [Fact]
    public async Task A_registry_that_is_not_there_is_no_failure_and_is_counted()
    {
        await backend.CreateShopAsync();
        backend.Registry.Instead = context => Results.StatusCode(503).ExecuteAsync(context);
        try
        {
            await ReportAsync();
        }
        finally
        {
            backend.Registry.Instead = null;
        }

        var services = (await (await backend.Client.GetAsync("/api/status/services")).ReadAsync(HttpStatusCode.OK))["services"]!;
        services["template-registry"]!["fallbacks"]!.AsArray().Single(fallback => (string)fallback!["use"]! == "usage statistics")!["used"]!
            .GetValue<long>().ShouldBeGreaterThan(0);
    }

    private async Task ReportAsync()
    {
        await using var scope = backend.Services.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<ReportTemplateUsage>().ExecuteAsync(default);
    }
}
