using System.Net;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Http;
using Platform.EdgeTesting;
using Platform.ResilienceTesting;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Edges;

/// <summary>Backend with the way to TemplateRegistry at hand.</summary>
public sealed class RegistryEdge : IAsyncLifetime
{
    public RegistryEdge(PostgresServer server)
    {
        Backend = new BackendHost(server);
        Way = new TcpFaultProxy(_ => ValueTask.FromResult<EndPoint>(new IPEndPoint(IPAddress.Loopback, Backend.Registry.Address.Port)));
        Backend.Set("services:template-registry:http:0", $"http://{Way.EndPoint}");
        Backend.Set("Services:template-registry:AttemptTimeout", "00:00:00.300");
        Backend.Set("Templates:Patience", "00:00:00.400");
        // Long, so that the first answer of a busy machine is not a 503: the calls behind it end by their own time-outs.
        Backend.Set("Templates:Deadline", "00:00:30");
    }

    public BackendHost Backend { get; }

    public TcpFaultProxy Way { get; }

    public async ValueTask InitializeAsync()
    {
        await Backend.InitializeAsync();
        await Eventually.Async(async () => await (await Backend.Client.GetAsync("/api/templates/aurora")).ReadAsync(HttpStatusCode.OK));
    }

    public async ValueTask DisposeAsync()
    {
        await Backend.DisposeAsync();
        await Way.DisposeAsync();
    }
}

/// <summary>What Backend's caller sees of each fault between Backend and TemplateRegistry.</summary>
public sealed class RegistryEdgeTests(RegistryEdge edge) : IClassFixture<RegistryEdge>
{
    private readonly List<HttpStatusCode> _answers = [];

    public static TheoryData<Fault> Slow => EdgeFaults.Slow;

    public static TheoryData<Fault> Broken => EdgeFaults.Broken;

    [Theory]
    [MemberData(nameof(Slow))]
    public async Task Templates_are_fresh_over_a_slow_connection(Fault fault)
    {
        await FreshAsync();
        var scope = edge.Way.Faults.Start(fault);

        await scope.DuringAsync(FreshAsync);

        scope.Struck.ShouldBeGreaterThan(0);
        _answers.ShouldAllBe(status => status == HttpStatusCode.OK);
    }

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Templates_are_stale_over_a_broken_connection_and_fresh_once_it_recovers(Fault fault)
    {
        await FreshAsync();
        var scope = edge.Way.Faults.Start(fault);

        await scope.DuringAsync(() => FirstAsync(fault, AskAsync, async response =>
        {
            var template = await response.ReadAsync(HttpStatusCode.OK);
            template["stale"]!.GetValue<bool>().ShouldBeTrue();
            ((string)template["name"]!).ShouldBe("aurora");
            response.Headers.Age.ShouldNotBeNull();
        }));

        scope.Struck.ShouldBeGreaterThan(0);
        await FreshAsync();
        _answers.ShouldAllBe(status => status == HttpStatusCode.OK);
    }

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task A_template_never_seen_before_is_503_over_a_broken_connection(Fault fault)
    {
        await FreshAsync();
        _answers.Clear();
        var scope = edge.Way.Faults.Start(fault);

        await scope.DuringAsync(() => FirstAsync(fault, AskForUnknownAsync, ShouldBeUnavailableAsync));

        scope.Struck.ShouldBeGreaterThan(0);
        _answers.ShouldBeSubsetOf([HttpStatusCode.ServiceUnavailable, HttpStatusCode.NotFound]);
        await Eventually.Async(async () => (await AskForUnknownAsync()).StatusCode.ShouldBe(HttpStatusCode.NotFound));
    }

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Publishing_is_503_over_a_broken_connection_and_can_be_retried(Fault fault)
    {
        await FreshAsync();
        _answers.Clear();
        edge.Backend.Registry.Instead = context =>
            context.Request.Method == "PUT" ? context.Response.WriteAsJsonAsync(RegistryStub.Version("aurora", "1.0.0")) : Task.CompletedTask;
        try
        {
            var scope = edge.Way.Faults.Start(fault);

            await scope.DuringAsync(() => FirstAsync(fault, PublishAsync, ShouldBeUnavailableAsync));

            scope.Struck.ShouldBeGreaterThan(0);
            _answers.ShouldBeSubsetOf([HttpStatusCode.ServiceUnavailable, HttpStatusCode.OK]);
            await Eventually.Async(async () => (await PublishAsync()).StatusCode.ShouldBe(HttpStatusCode.OK));
        }
        finally
        {
            edge.Backend.Registry.Instead = null;
        }
    }

    /// <summary>Checks the first answer; over a way that is broken by turns, the first one that shows it.</summary>
    private static async Task FirstAsync(Fault fault, Func<Task<HttpResponseMessage>> ask, Func<HttpResponseMessage, Task> check)
    {
        async Task AskAndCheckAsync()
        {
            using var response = await ask();
            await check(response);
        }

        await (fault is FlapFault ? Eventually.Async(AskAndCheckAsync) : AskAndCheckAsync());
    }

    private static async Task ShouldBeUnavailableAsync(HttpResponseMessage response)
    {
        await response.ReadProblemAsync(HttpStatusCode.ServiceUnavailable);
        response.Headers.RetryAfter.ShouldNotBeNull();
        response.Headers.GetValues("X-Should-Retry").ShouldBe(["false"]);
    }

    private Task FreshAsync() => Eventually.Async(async () =>
    {
        using var response = await AskAsync();
        (await response.ReadAsync(HttpStatusCode.OK))["stale"]!.GetValue<bool>().ShouldBeFalse();
    });

    private async Task<HttpResponseMessage> AskAsync() => Note(await edge.Backend.Client.GetAsync("/api/templates/aurora"));

    private async Task<HttpResponseMessage> AskForUnknownAsync() => Note(await edge.Backend.Client.GetAsync("/api/templates/aurora/versions/9.9.9"));

    private async Task<HttpResponseMessage> PublishAsync()
    {
        using var bundle = new ByteArrayContent(new byte[500]) { Headers = { ContentType = MediaTypeHeaderValue.Parse("application/zip") } };
        return Note(await edge.Backend.Client.PutAsync("/api/templates/aurora/versions/1.0.0", bundle));
    }

    private HttpResponseMessage Note(HttpResponseMessage response)
    {
        _answers.Add(response.StatusCode);
        return response;
    }
}
