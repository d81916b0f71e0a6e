using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Platform.TestSupport;

/// <summary>A web application of the test's own, on a real port, with an <see cref="HttpClient"/> to it.</summary>
public sealed class TestApp : IAsyncDisposable
{
    private TestApp(WebApplication app)
    {
        App = app;
        Client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = new Uri(app.Urls.First()) };
    }

    /// <summary>The running application.</summary>
    public WebApplication App { get; }

    /// <summary>Its services.</summary>
    public IServiceProvider Services => App.Services;

    /// <summary>A plain client, without retries or circuit breaker.</summary>
    public HttpClient Client { get; }

    /// <summary>Where it listens.</summary>
    public Uri Address => Client.BaseAddress!;

    /// <summary>Builds and starts it. <paramref name="settings"/> are configuration keys and values.</summary>
    public static async Task<TestApp> StartAsync(
        Action<WebApplicationBuilder> configure,
        Action<WebApplication> map,
        IReadOnlyDictionary<string, string?>? settings = null,
        string environment = "Development",
        int? port = null)
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions
        {
            EnvironmentName = environment,
            ApplicationName = typeof(TestApp).Assembly.GetName().Name,
            // No reload of settings: its file watcher would watch everything below the working directory, including a benchmark's database.
            Args = ["--hostBuilder:reloadConfigOnChange=false"],
        });
        builder.Logging.ClearProviders();
        builder.Configuration.AddInMemoryCollection(settings);
        builder.WebHost.UseUrls($"http://127.0.0.1:{port ?? 0}");
        configure(builder);
        var app = builder.Build();
        map(app);
        await app.StartAsync();
        return new(app);
    }

    /// <summary>A service of the application.</summary>
    public T Get<T>() where T : notnull => Services.GetRequiredService<T>();

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await App.StopAsync();
        await App.DisposeAsync();
    }
}
