using System.Net;
using System.Text.RegularExpressions;
using Aspire.Hosting.ApplicationModel;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Dashboard;

/// <summary>Serves the resources of the application to the dashboard: gRPC over HTTP/2, on the loopback interface only.</summary>
internal sealed partial class ResourceServiceHost(
    DashboardOptions options,
    ResourceNotificationService notifications,
    ResourceLoggerService logs,
    ResourceCommandService commands,
    IConfiguration configuration,
    IHostEnvironment environment,
    IHostApplicationLifetime lifetime,
    ILoggerFactory loggerFactory) : IHostedService, IAsyncDisposable
{
    private readonly TaskCompletionSource<string> _url = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stopping = CancellationTokenSource.CreateLinkedTokenSource(lifetime.ApplicationStopping);
    private WebApplication? _app;
    private Task? _feeding;

    /// <summary>Waits until the service listens, and gets its address.</summary>
    public Task<string> GetUrlAsync(CancellationToken cancellationToken) => _url.Task.WaitAsync(cancellationToken);

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        try
        {
            var feed = new ResourceFeed(notifications, TimeProvider.System, loggerFactory.CreateLogger<ResourceFeed>());
            _feeding = RunFeedAsync(feed);

            var service = new ResourceService(
                feed, logs, commands, ApplicationName(), options.ResourceServiceApiKey, loggerFactory.CreateLogger<ResourceService>());

            // An empty builder: the settings of this process, such as ASPNETCORE_URLS, are the dashboard's.
            var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
            builder.Services.AddSingleton(loggerFactory);
            builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
            builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(Listen);
            _app = builder.Build();
            _app.Run(context => service.HandleAsync(context, _stopping.Token));
            await _app.StartAsync(cancellationToken);
            _url.SetResult(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        }
        catch (Exception exception)
        {
            _url.TrySetException(exception);
            throw;
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync();
        _url.TrySetCanceled(CancellationToken.None);
        if (_app is not null)
            await _app.StopAsync(cancellationToken);
        if (_feeding is not null)
            await _feeding.WaitAsync(cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        if (_app is not null)
            await _app.DisposeAsync();
        _stopping.Dispose();
    }

    [GeneratedRegex(@"^(?<name>.+?)\.?AppHost$", RegexOptions.ExplicitCapture | RegexOptions.IgnoreCase | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1000)]
    private static partial Regex AppHostName();

    private string ApplicationName()
    {
        var name = configuration["AppHost:DashboardApplicationName"] ?? environment.ApplicationName;
        return AppHostName().Match(name) is { Success: true } match ? match.Groups["name"].Value : name;
    }

    private void Listen(KestrelServerOptions kestrel)
    {
        var secured = options.ResourceServiceUrl is { } url ? url.Scheme == Uri.UriSchemeHttps : !options.AllowUnsecuredTransport;
        void Configure(ListenOptions listen)
        {
            // Without TLS there is no negotiation, so HTTP/2 has to be the only choice.
            listen.Protocols = HttpProtocols.Http2;
            if (secured)
                listen.UseHttps();
        }

        if (options.ResourceServiceUrl is { Port: > 0 } fixedUrl)
            kestrel.ListenLocalhost(fixedUrl.Port, Configure);
        else
            kestrel.Listen(IPAddress.Loopback, 0, Configure);
    }

    private async Task RunFeedAsync(ResourceFeed feed)
    {
        try
        {
            await feed.RunAsync(_stopping.Token);
        }
        catch (OperationCanceledException)
        {
            // The application stops.
        }
    }

    /// <summary>The AppHost says when to start and stop; signals are its business.</summary>
    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
