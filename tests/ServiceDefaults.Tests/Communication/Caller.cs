using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Platform.ServiceDefaults.Communication;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Communication;

/// <summary>
/// A host whose client <see cref="ClientName"/> calls a real server, the leaf, that answers as it is told. Its clock moves only when the test moves it, so that no time-out
/// expires because the machine is busy.
/// </summary>
internal sealed class Caller : IAsyncDisposable
{
    public const string ClientName = "leaf-client";
    public const string Token = "the-secret";

    private readonly IHost _host;

    private Caller(IHost host, IConfigurationRoot configuration, StubService leaf, ConcurrentQueue<string> log) =>
        (_host, Configuration, Leaf, Log) = (host, configuration, leaf, log);

    public StubService Leaf { get; }

    public IConfigurationRoot Configuration { get; }

    /// <summary>The clock of the host.</summary>
    public ObservableTimeProvider Time => (ObservableTimeProvider)Services.GetRequiredService<TimeProvider>();

    /// <summary>The lines logged so far, from Information up.</summary>
    public ConcurrentQueue<string> Log { get; }

    public IServiceProvider Services => _host.Services;

    public HttpClient Client => ClientOf(ClientName);

    /// <summary>What a service client knows of the leaf.</summary>
    public Destination Destination => Services.GetRequiredService<Destinations>()["leaf"];

    /// <summary>Starts a host with the service defaults and a service client with that policy.</summary>
    public static Task<Caller> StartAsync(
        Func<HttpContext, Task> answer, IEnumerable<(string Key, string Value)> policy, Action<HostApplicationBuilder, IHttpClientBuilder>? configure = null) =>
        StartAsync(answer, (builder, leaf) =>
        {
            builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
            {
                ["services:leaf:http:0"] = leaf.ToString(),
                ["InternalToken"] = Token,
                ["Shutdown:DrainDelay"] = "00:00:00",
                ["Services:leaf:Retry:Delay"] = "00:00:00",
            });
            builder.Configuration.AddInMemoryCollection(policy.Select(setting => KeyValuePair.Create($"Services:leaf:{setting.Key}", (string?)setting.Value)));
            builder.AddServiceDefaults();
            var client = builder.AddServiceClient(ClientName, "leaf");
            configure?.Invoke(builder, client);
        });

    /// <summary>Starts a host with a client of the test's own.</summary>
    /// <param name="answer">Answers everything but <c>/ready</c>.</param>
    /// <param name="configure">Is given the leaf's address.</param>
    public static async Task<Caller> StartAsync(Func<HttpContext, Task> answer, Action<HostApplicationBuilder, Uri> configure)
    {
        var leaf = await StubService.StartAsync(app =>
        {
            app.MapGet("/ready", () => "ready");
            app.MapFallback(context => answer(context));
        });
        try
        {
            var log = new ConcurrentQueue<string>();
            var builder = Host.CreateEmptyApplicationBuilder(null);
            builder.Services.AddSingleton<TimeProvider>(new ObservableTimeProvider());
            configure(builder, leaf.Address);
            builder.Logging.AddConfiguration(builder.Configuration.GetSection("Logging")).SetMinimumLevel(LogLevel.Information);
            builder.Logging.AddProvider(new ListProvider(log));
            var host = builder.Build();
            await host.StartAsync();
            return new(host, builder.Configuration, leaf, log);
        }
        catch
        {
            await leaf.DisposeAsync();
            throw;
        }
    }

    public HttpClient ClientOf(string name) => Services.GetRequiredService<IHttpClientFactory>().CreateClient(name);

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
        await Leaf.DisposeAsync();
    }

    private sealed class ListProvider(ConcurrentQueue<string> lines) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue(formatter(state, exception));

        public void Dispose()
        {
        }
    }
}
