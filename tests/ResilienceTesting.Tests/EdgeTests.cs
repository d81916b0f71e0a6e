using System.Net;
using System.Net.Sockets;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Platform.TestSupport;

namespace Platform.ResilienceTesting.Tests;

/// <summary>An application model whose resources are never started: the tests use the addresses in their environments.</summary>
public sealed class EdgeTests : IAsyncLifetime
{
    private readonly IDistributedApplicationBuilder _builder = DistributedApplication.CreateBuilder(new DistributedApplicationOptions
    {
        DisableDashboard = true,
        // Required settings; the programs are never started.
        Args = ["--DcpPublisher:CliPath=none", "--DcpPublisher:DashboardPath=none"],
    });
    private StubService _service = null!;
    private IResourceBuilder<ExecutableResource> _registry = null!;
    private DistributedApplication? _app;

    public async ValueTask InitializeAsync()
    {
        _service = await StubService.StartAsync(app => app.MapGet("/", () => "templates"));
        _registry = _builder.AddExecutable("registry", "none", ".").WithHttpEndpoint(env: "PORT");
    }

    public async ValueTask DisposeAsync()
    {
        if (_app is not null)
            await _app.DisposeAsync();
        await _service.DisposeAsync();
    }

    [Fact]
    public async Task A_fault_affects_one_edge_only()
    {
        var backend = Consumer("backend").WithReference(_registry.GetEndpoint("http"));
        var deployer = Consumer("deployer").WithReference(_registry.GetEndpoint("http"));
        var app = await StartAsync();
        using var client = new HttpClient();
        var fromBackend = (await EnvironmentAsync(backend))["services__registry__http__0"];
        var fromDeployer = (await EnvironmentAsync(deployer))["services__registry__http__0"];
        fromBackend.ShouldNotBe(fromDeployer);
        (await client.GetStringAsync(fromBackend, Cancel)).ShouldBe("templates");

        using (app.Fault("backend", "registry").Refuse())
        {
            await Should.ThrowAsync<HttpRequestException>(() => client.GetStringAsync(fromBackend, Cancel));
            (await client.GetStringAsync(fromDeployer, Cancel)).ShouldBe("templates");
            (await client.GetStringAsync(_registry.GetEndpoint("http").Url, Cancel)).ShouldBe("templates");
            app.DescribeFaults().ShouldStartWith("backend → registry: connection refused; seed 1; 127.0.0.1:");
            app.DescribeFaults().ShouldContain($" → localhost:{_service.Port}: 1 connections");
        }

        (await client.GetStringAsync(fromBackend, Cancel)).ShouldBe("templates");
        app.DescribeFaults().ShouldBe("No fault is in force.");
    }

    [Fact]
    public async Task Endpoints_are_replaced_in_all_kinds_of_values()
    {
        var http = _registry.GetEndpoint("http");
        var backend = Consumer("backend")
            .WithEnvironment("URL", http)
            .WithEnvironment("HOST", http.Property(EndpointProperty.Host))
            .WithEnvironment("PORT_OF_IT", http.Property(EndpointProperty.Port))
            .WithEnvironment("TARGET_PORT", _builder.AddExecutable("fixed", "none", ".").WithHttpEndpoint(targetPort: 8080).GetEndpoint("http").Property(EndpointProperty.TargetPort))
            .WithEnvironment("EXPRESSION", ReferenceExpression.Create($"{http}/base?from={ReferenceExpression.Create($"{http.Property(EndpointProperty.HostAndPort)}")}"))
            .WithEnvironment("TEXT", _service.Address.ToString())
            .WithArgs("--registry", http);
        var app = await StartAsync();

        var environment = await EnvironmentAsync(backend);

        var port = app.Fault("backend", "registry").Proxies.ShouldHaveSingleItem().Port;
        environment["URL"].ShouldBe($"http://127.0.0.1:{port}");
        environment["HOST"].ShouldBe("127.0.0.1");
        environment["PORT_OF_IT"].ShouldBe($"{port}");
        environment["TARGET_PORT"].ShouldBe("8080");
        environment["EXPRESSION"].ShouldBe($"http://127.0.0.1:{port}/base?from=127.0.0.1:{port}");
        environment["TEXT"].ShouldBe(_service.Address.ToString());
    }

    [Fact]
    public async Task A_resources_own_endpoint_is_not_replaced_and_an_https_endpoint_keeps_its_host_name()
    {
        var secure = _builder.AddExecutable("secure", "none", ".").WithHttpsEndpoint();
        _registry.WithEnvironment("SELF", _registry.GetEndpoint("http")).WithReference(secure.GetEndpoint("https"));
        await StartAsync();

        var environment = await EnvironmentAsync(_registry);

        environment["SELF"].ShouldBe($"http://localhost:{_service.Port}");
        environment["services__secure__https__0"].ShouldStartWith("https://localhost:");
        environment["services__secure__https__0"].ShouldNotBe($"https://localhost:{_service.Port}");
    }

    [Fact]
    public async Task In_a_connection_string_only_host_and_port_of_the_server_are_replaced()
    {
        var postgres = _builder.AddPostgres("postgres", password: _builder.AddParameter("password", $"localhost:{_service.Port}"));
        var database = postgres.AddDatabase("shops-db", "shops");
        var backend = Consumer("backend").WithReference(database);
        var app = await StartAsync();

        var direct = new NpgsqlConnectionStringBuilder(await ((IResourceWithConnectionString)database.Resource).GetConnectionStringAsync(Cancel));
        var environment = await EnvironmentAsync(backend);
        var proxied = new NpgsqlConnectionStringBuilder(environment["ConnectionStrings__shops-db"]);

        var edge = app.Fault("backend", "shops-db");
        app.Fault("backend", "postgres").ShouldBeSameAs(edge);
        edge.Target.ShouldBe(postgres.Resource);
        var port = edge.Proxies.ShouldHaveSingleItem().Port;
        (proxied.Host, proxied.Port).ShouldBe(("127.0.0.1", port));
        (proxied.Password, proxied.Database, proxied.Username).ShouldBe((direct.Password, "shops", direct.Username));
        environment["SHOPS_DB_HOST"].ShouldBe("127.0.0.1");
        environment["SHOPS_DB_PORT"].ShouldBe($"{port}");
        environment["SHOPS_DB_URI"].ShouldBe($"postgresql://postgres:localhost%3A{_service.Port}@127.0.0.1:{port}/shops");
    }

    [Fact]
    public async Task A_fault_can_be_started_before_the_consumer()
    {
        var backend = Consumer("backend").WithReference(_registry.GetEndpoint("http"));
        var app = await StartAsync();
        using var client = new HttpClient();
        var edge = app.Fault("backend", "registry");
        edge.Description.ShouldBe("backend → registry: no fault; seed 1; no connection goes this way yet");
        using var refused = edge.Refuse();

        var url = (await EnvironmentAsync(backend))["services__registry__http__0"];

        await Should.ThrowAsync<HttpRequestException>(() => client.GetStringAsync(url, Cancel));
    }

    [Fact]
    public async Task A_restarted_consumer_gets_the_same_proxy()
    {
        var backend = Consumer("backend").WithReference(_registry.GetEndpoint("http"));
        await StartAsync();

        (await EnvironmentAsync(backend)).ShouldBe(await EnvironmentAsync(backend));
    }

    [Fact]
    public async Task Proxies_end_with_the_application()
    {
        var backend = Consumer("backend").WithReference(_registry.GetEndpoint("http"));
        var app = await StartAsync();
        var url = new Uri((await EnvironmentAsync(backend))["services__registry__http__0"]);

        await app.DisposeAsync();

        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        var error = await Should.ThrowAsync<SocketException>(async () => await client.ConnectAsync(IPAddress.Loopback, url.Port, Cancel));
        error.SocketErrorCode.ShouldBe(SocketError.ConnectionRefused);
    }

    [Fact]
    public async Task An_unknown_edge_is_refused_with_a_list_of_the_existing_ones()
    {
        Consumer("backend").WithReference(_registry.GetEndpoint("http"));
        Consumer("deployer").WithReference(_registry.GetEndpoint("http"));
        var app = await StartAsync();

        Should.Throw<ArgumentException>(() => app.Fault("registry", "backend")).Message
            .ShouldStartWith("There is no edge registry → backend. The edges are: backend → registry, deployer → registry.");
        Should.Throw<ArgumentException>(() => app.Fault("backend", "regsitry")).Message
            .ShouldStartWith("There is no resource 'regsitry'. There is no edge backend → regsitry. The edges are: backend → registry, deployer → registry.");
        app.Edges().Select(edge => edge.Name).ShouldBe(["backend → registry", "deployer → registry"]);
    }

    [Fact]
    public void Without_AddFaults_the_error_says_how_to_add_proxies()
    {
        _app = _builder.Build();

        Should.Throw<InvalidOperationException>(() => _app.Fault("backend", "registry")).Message.ShouldContain("AddFaults()");
    }

    private IResourceBuilder<ExecutableResource> Consumer(string name) => _builder.AddExecutable(name, "none", ".");

    /// <summary>Does what the orchestrator does before it starts the first process: completes the model and allocates endpoints.</summary>
    private async Task<DistributedApplication> StartAsync()
    {
        _app = _builder.AddFaults().Build();
        var model = _app.Services.GetRequiredService<DistributedApplicationModel>();
        foreach (var endpoint in model.Resources.SelectMany(resource => resource.Annotations.OfType<EndpointAnnotation>()))
            endpoint.AllocatedEndpoint = new AllocatedEndpoint(endpoint, "localhost", _service.Port);
        await _builder.Eventing.PublishAsync(new BeforeStartEvent(_app.Services, model), Cancel);
        return _app;
    }

    /// <summary>The environment that the resource's process would get.</summary>
    private async Task<Dictionary<string, string>> EnvironmentAsync(IResourceBuilder<IResource> resource)
    {
        var context = new EnvironmentCallbackContext(_builder.ExecutionContext, resource.Resource, cancellationToken: Cancel);
        foreach (var annotation in resource.Resource.Annotations.OfType<EnvironmentCallbackAnnotation>())
            await annotation.Callback(context);
        var environment = new Dictionary<string, string>();
        foreach (var (name, value) in context.EnvironmentVariables)
        {
            // The port to listen on is assigned by the orchestrator.
            if (name != "PORT")
                environment[name] = value as string ?? (await ((IValueProvider)value).GetValueAsync(Cancel))!;
        }

        return environment;
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
