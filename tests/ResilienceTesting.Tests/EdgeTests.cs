using System.Net;
using System.Net.Sockets;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Platform.TestSupport;

namespace Platform.ResilienceTesting.Tests;

/// <summary>An application model whose resources play dead: what each would be told in its environment, the test tries itself.</summary>
public sealed class EdgeTests : IAsyncLifetime
{
    private readonly IDistributedApplicationBuilder _builder = DistributedApplication.CreateBuilder(new DistributedApplicationOptions
    {
        DisableDashboard = true,
        // asked for, and never started
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
    public async Task A_fault_concerns_one_edge_and_no_other()
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
    public async Task An_endpoint_is_replaced_in_whatever_it_is_a_part_of()
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
    public async Task A_resource_keeps_its_own_endpoint_and_an_encrypted_one_its_name()
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
    public async Task A_database_stands_for_its_server_and_all_else_of_the_connection_string_stays()
    {
        var postgres = _builder.AddPostgres("postgres", password: _builder.AddParameter("password", $"localhost:{_service.Port}"));
        var database = postgres.AddDatabase("shops-db", "shops");
        var backend = Consumer("backend").WithReference(database);
        var app = await StartAsync();

        var direct = new NpgsqlConnectionStringBuilder(await ((IResourceWithConnectionString)database.Resource).GetConnectionStringAsync(Cancel));
        var environment = await EnvironmentAsync(backend);
        var told = new NpgsqlConnectionStringBuilder(environment["ConnectionStrings__shops-db"]);

        var edge = app.Fault("backend", "shops-db");
        app.Fault("backend", "postgres").ShouldBeSameAs(edge);
        edge.Target.ShouldBe(postgres.Resource);
        var port = edge.Proxies.ShouldHaveSingleItem().Port;
        (told.Host, told.Port).ShouldBe(("127.0.0.1", port));
        (told.Password, told.Database, told.Username).ShouldBe((direct.Password, "shops", direct.Username));
        environment["SHOPS_DB_HOST"].ShouldBe("127.0.0.1");
        environment["SHOPS_DB_PORT"].ShouldBe($"{port}");
        environment["SHOPS_DB_URI"].ShouldBe($"postgresql://postgres:localhost%3A{_service.Port}@127.0.0.1:{port}/shops");
    }

    [Fact]
    public async Task A_fault_may_be_there_before_the_consumer_is()
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
    public async Task A_consumer_that_starts_again_is_given_the_same_proxy()
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
    public async Task An_edge_that_is_not_there_is_answered_with_those_that_are()
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
    public void Without_proxies_it_says_how_to_have_them()
    {
        _app = _builder.Build();

        Should.Throw<InvalidOperationException>(() => _app.Fault("backend", "registry")).Message.ShouldContain("AddFaults()");
    }

    private IResourceBuilder<ExecutableResource> Consumer(string name) => _builder.AddExecutable(name, "none", ".");

    /// <summary>Goes as far as the orchestrator would before the first process: the model is complete and endpoints have addresses.</summary>
    private async Task<DistributedApplication> StartAsync()
    {
        _app = _builder.AddFaults().Build();
        var model = _app.Services.GetRequiredService<DistributedApplicationModel>();
        foreach (var endpoint in model.Resources.SelectMany(resource => resource.Annotations.OfType<EndpointAnnotation>()))
            endpoint.AllocatedEndpoint = new AllocatedEndpoint(endpoint, "localhost", _service.Port);
        await _builder.Eventing.PublishAsync(new BeforeStartEvent(_app.Services, model), Cancel);
        return _app;
    }

    /// <summary>What the resource's process would find in its environment.</summary>
    private async Task<Dictionary<string, string>> EnvironmentAsync(IResourceBuilder<IResource> resource)
    {
        var context = new EnvironmentCallbackContext(_builder.ExecutionContext, resource.Resource, cancellationToken: Cancel);
        foreach (var annotation in resource.Resource.Annotations.OfType<EnvironmentCallbackAnnotation>())
            await annotation.Callback(context);
        var environment = new Dictionary<string, string>();
        foreach (var (name, value) in context.EnvironmentVariables)
        {
            // the port to listen on is the orchestrator's to say
            if (name != "PORT")
                environment[name] = value as string ?? (await ((IValueProvider)value).GetValueAsync(Cancel))!;
        }

        return environment;
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
