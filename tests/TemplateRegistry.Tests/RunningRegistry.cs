using System.Net;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Platform.TemplateRegistry.Tests.Bundles;
using Platform.TestSupport;

namespace Platform.TemplateRegistry.Tests;

/// <summary>The service on a real socket with a database of its own.</summary>
public sealed class RunningRegistry(PostgresServer server) : IAsyncLifetime
{
    internal const string Token = "the-token-of-these-tests";
    private readonly TestDatabase _database = new(server);
    private WebApplicationFactory<Program>? _factory;

    public TestDatabase Database => _database;

    /// <summary>The service's endpoints.</summary>
    public IServiceProvider Endpoints => _factory!.Services;

    /// <summary>A client that sends the internal token.</summary>
    public HttpClient Internal { get; private set; } = null!;

    /// <summary>A client without the token.</summary>
    public HttpClient Public { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        await _database.InitializeAsync();
        _factory = Start(_database.ConnectionString);
        Public = Connect(_factory);
        Internal = ConnectAsService(_factory);
        await WaitUntilReadyAsync(Public);
    }

    internal static WebApplicationFactory<Program> Start(string connectionString)
    {
        var factory = new WebApplicationFactory<Program>().WithWebHostBuilder(builder => builder
            .UseSetting("ConnectionStrings:registry-db", connectionString)
            .UseSetting("InternalToken", Token)
            .UseSetting("urls", "http://127.0.0.1:0")
            // Long time-outs, so that a busy machine doesn't cause a 503.
            .UseSetting("Database:ConnectTimeout", "30")
            .UseSetting("Database:CommandTimeout", "30")
            .UseSetting("Logging:LogLevel:Default", "Warning"));
        factory.UseKestrel();
        factory.StartServer();
        return factory;
    }

    internal static HttpClient Connect(WebApplicationFactory<Program> factory) =>
        new(new SocketsHttpHandler { AllowAutoRedirect = false, AutomaticDecompression = DecompressionMethods.None }) { BaseAddress = factory.ClientOptions.BaseAddress };

    internal static HttpClient ConnectAsService(WebApplicationFactory<Program> factory)
    {
        var client = Connect(factory);
        client.DefaultRequestHeaders.Add("X-Internal-Token", Token);
        return client;
    }

    internal static Task WaitUntilReadyAsync(HttpClient client) =>
        Eventually.Async(async () => (await client.GetAsync("/ready")).StatusCode.ShouldBe(HttpStatusCode.OK));

    internal Task<HttpResponseMessage> PutAsync(TestBundle bundle) =>
        PutAsync((string)bundle.Manifest["name"]!, (string)bundle.Manifest["version"]!, bundle.Zip());

    internal Task<HttpResponseMessage> PutAsync(string name, string version, byte[] zip) => Internal.PutAsync($"/templates/{name}/versions/{version}", Zip(zip));

    internal static ByteArrayContent Zip(byte[] zip) => new(zip) { Headers = { ContentType = new MediaTypeHeaderValue("application/zip") } };

    public async ValueTask DisposeAsync()
    {
        Public?.Dispose();
        Internal?.Dispose();
        if (_factory is not null)
            await _factory.DisposeAsync();
        await _database.DisposeAsync();
    }
}
