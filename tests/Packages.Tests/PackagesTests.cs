using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Platform.TestSupport;

namespace Platform.Packages.Tests;

public sealed class PackagesTests
{
    private const string Token = "packages-test";

    // Generous: other test projects run at the same time.
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(1);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact(Skip = FullTests.Skipped, SkipType = typeof(FullTests), SkipUnless = nameof(FullTests.Wanted))]
    public async Task Services_made_outside_of_the_repository_as_the_packages_READMEs_show_survive_an_outage()
    {
        using var workspace = new Workspace();
        await workspace.PackAsync(Cancellation);
        ShouldBeComplete(workspace);
        await workspace.CreateFromReadmeAsync("web", "Storefront", "Platform.ServiceDefaults", Cancellation);
        await workspace.CreateFromReadmeAsync("web", "Orders", "Platform.ServiceDefaults.Postgres", Cancellation);
        await workspace.CreateFromReadmeAsync("console", "Faults", "Platform.ResilienceTesting", Cancellation);
        await workspace.BuildAsync(Cancellation);

        await using var postgres = await PostgresServer.StartNewAsync(Cancellation);
        await using var database = await TestDatabase.CreateAsync(postgres);
        var shippingPort = FreePort.Next();
        await using var orders = Service(workspace, "Orders", new() { ["ConnectionStrings__orders-db"] = database.ConnectionString, ["SHIPPING_URL"] = $"http://127.0.0.1:{shippingPort}" });
        orders.Start();
        await orders.ReadyAsync(Cancellation);
        using var faults = new FaultProgram(workspace.ProgramOf("Faults"), orders.Port);
        await using var storefront = Service(workspace, "Storefront", new() { ["ORDERS_URL"] = $"http://{await faults.ReadLineAsync()}" });
        storefront.Start();
        await storefront.ReadyAsync(Cancellation);

        using var http = new HttpClient { Timeout = Deadline };
        var location = await PlaceOrderTwiceAsync(http, orders, database);
        await MessageWaitsForItsReceiverAsync(http, orders, shippingPort);
        await MessageIsAppliedOnceAsync(http, orders, location, database);
        await StorefrontSurvivesAsync(http, storefront, location, faults);
    }

    private static void ShouldBeComplete(Workspace workspace)
    {
        foreach (var name in (string[])["ServiceDefaults", "ServiceDefaults.Postgres", "ResilienceTesting"])
        {
            var files = workspace.Read($"Platform.{name}");
            foreach (var file in (string[])["README.md", "CHANGELOG.md", $"lib/net10.0/{name}.dll", $"lib/net10.0/{name}.xml"])
            {
                files.Keys.ShouldContain(file);
            }

            var symbols = workspace.Read($"Platform.{name}", "snupkg");
            symbols.Keys.ShouldContain($"lib/net10.0/{name}.pdb");
            Encoding.UTF8.GetString(files[$"Platform.{name}.nuspec"]).ShouldContain("""<license type="expression">MIT</license>""");
            foreach (var (file, content) in files.Concat(symbols))
            {
                content.AsSpan().IndexOf(Encoding.UTF8.GetBytes(workspace.Sources)).ShouldBe(-1, $"{file} of Platform.{name} has the path of its sources in it.");
            }
        }
    }

    private static async Task<Uri> PlaceOrderTwiceAsync(HttpClient http, ServiceProcess orders, TestDatabase database)
    {
        var locations = new List<Uri>();
        for (var i = 0; i < 2; i++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, Url(orders, "/orders")) { Content = JsonContent.Create(new { sku = "tea-01", quantity = 2 }) };
            request.Headers.Add("Idempotency-Key", "8e03978e");
            using var response = await http.SendAsync(request, Cancellation);
            response.StatusCode.ShouldBe(HttpStatusCode.Created, string.Join(Environment.NewLine, orders.Log));
            response.Headers.Contains("Idempotency-Replayed").ShouldBe(i == 1);
            locations.Add(response.Headers.Location!);
        }

        locations[1].ShouldBe(locations[0]);
        await using var connection = await database.DataSource.OpenConnectionAsync(Cancellation);
        (await connection.ExecuteScalarAsync<int>("select count(*) from orders")).ShouldBe(1);
        return locations[0];
    }

    private static async Task MessageWaitsForItsReceiverAsync(HttpClient http, ServiceProcess orders, int shippingPort)
    {
        (await http.GetFromJsonAsync<JsonNode>(Url(orders, "/health"), Cancellation))!["dependencies"]!["shipping"]!.GetValue<string>().ShouldBe("disconnected");

        await using var shipping = await StubService.StartAsync(app =>
        {
            app.MapGet("/ready", () => Results.Ok());
            app.MapPost("/messages", () => Results.Accepted());
        }, shippingPort);
        await Eventually.TrueAsync(() => shipping.Requests.Any(request => request.Path == "/messages"), Deadline, cancellationToken: Cancellation);
        await Eventually.Async(async () => (await HealthAsync(http, orders)).Status.ShouldBe("healthy"), Deadline, Cancellation);

        var message = shipping.Requests.Where(request => request.Path == "/messages").ShouldHaveSingleItem();
        message.Headers["X-Internal-Token"].ShouldBe(Token);
        JsonNode.Parse(message.Text)!["type"]!.GetValue<string>().ShouldBe("order.placed");
    }

    private static async Task MessageIsAppliedOnceAsync(HttpClient http, ServiceProcess orders, Uri location, TestDatabase database)
    {
        var id = location.OriginalString.Split('/')[^1];
        for (var i = 0; i < 2; i++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, Url(orders, "/messages"))
            {
                Content = new StringContent(
                    $$"""
                    {"specversion": "1.0", "id": "shipped-1", "source": "shipping", "type": "order.shipped", "subject": "orders/{{id}}", "partitionkey": "{{id}}", "sequence": "1", "data": {"orderId": "{{id}}"} }
                    """, Encoding.UTF8, "application/cloudevents+json"),
                Headers = { { "X-Internal-Token", Token } },
            };
            using var response = await http.SendAsync(request, Cancellation);
            response.StatusCode.ShouldBe(HttpStatusCode.Accepted, await response.Content.ReadAsStringAsync(Cancellation));
        }

        await using var connection = await database.DataSource.OpenConnectionAsync(Cancellation);
        (await connection.ExecuteScalarAsync<int>("select shipped from orders")).ShouldBe(1);
    }

    private static async Task StorefrontSurvivesAsync(HttpClient http, ServiceProcess storefront, Uri location, FaultProgram faults)
    {
        var order = Url(storefront, location.OriginalString);
        (await http.GetFromJsonAsync<JsonNode>(order, Cancellation))!["sku"]!.GetValue<string>().ShouldBe("tea-01");
        (await HealthAsync(http, storefront)).ShouldBe(("healthy", "closed"));

        await faults.PressEnterAsync();
        await Eventually.Async(async () =>
        {
            using var response = await http.GetAsync(order, Cancellation);
            response.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
            response.Headers.RetryAfter.ShouldNotBeNull();
            (await HealthAsync(http, storefront)).ShouldBe(("degraded", "open"));
        }, Deadline, Cancellation);

        await faults.PressEnterAsync();
        await Eventually.Async(async () =>
        {
            using var response = await http.GetAsync(order, Cancellation);
            response.StatusCode.ShouldBe(HttpStatusCode.OK);
            (await HealthAsync(http, storefront)).ShouldBe(("healthy", "closed"));
        }, Deadline, Cancellation);
    }

    private static ServiceProcess Service(Workspace workspace, string name, Dictionary<string, string> settings)
    {
        settings["InternalToken"] = Token;
        return new ServiceProcess(name, name, Path.Combine(workspace.Path, name)) { Repository = workspace.Path, Settings = () => settings };
    }

    private static Uri Url(ServiceProcess service, string path) => new($"http://127.0.0.1:{service.Port}{path}");

    /// <summary>The status of the service and the state of the breaker in front of its first dependency that is a service.</summary>
    private static async Task<(string Status, string Breaker)> HealthAsync(HttpClient http, ServiceProcess service)
    {
        var health = (await http.GetFromJsonAsync<JsonNode>(Url(service, "/health"), Cancellation))!;
        var breakers = health["circuitBreakers"]!.AsObject();
        return (health["status"]!.GetValue<string>(), (breakers["orders"] ?? breakers["shipping"])!["state"]!.GetValue<string>());
    }

    /// <summary>The program in the README of Platform.ResilienceTesting: Enter begins a fault, and ends it.</summary>
    private sealed class FaultProgram : IDisposable
    {
        private readonly Process _process;

        public FaultProgram(string program, int port) => _process = Process.Start(new ProcessStartInfo("dotnet", [program, port.ToString(CultureInfo.InvariantCulture)])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;

        public async Task<string> ReadLineAsync() => await _process.StandardOutput.ReadLineAsync(Cancellation) ?? throw new InvalidOperationException("The program with the faults has ended.");

        public async Task PressEnterAsync()
        {
            await _process.StandardInput.WriteLineAsync();
            await _process.StandardInput.FlushAsync(Cancellation);
            await ReadLineAsync();
        }

        public void Dispose()
        {
            _process.Kill();
            _process.Dispose();
        }
    }
}
