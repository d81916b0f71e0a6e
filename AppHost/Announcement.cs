using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Platform.AppHost;

internal static class AnnouncementExtensions
{
    /// <summary>Prints, once every resource is healthy, where the console and the dashboard are and how to stop; in Development also the key to sign in with.</summary>
    public static void AnnounceWhenHealthy(this IDistributedApplicationBuilder builder, IResourceBuilder<ProjectResource> console, IResourceBuilder<ParameterResource> key)
    {
        if (builder.ExecutionContext.IsRunMode)
        {
            builder.Services.AddHostedService(services =>
                ActivatorUtilities.CreateInstance<Announcement>(services, console.GetEndpoint("http"), key.Resource));
        }
    }
}

internal sealed class Announcement(EndpointReference console, ParameterResource key, DistributedApplicationModel model,
    ResourceNotificationService notifications, IConfiguration configuration, IHostEnvironment environment) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await Task.WhenAll(model.Resources
                .Where(resource => resource.HasAnnotationOfType<HealthCheckAnnotation>())
                .Select(resource => notifications.WaitForResourceHealthyAsync(resource.Name, stoppingToken)));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            return;
        }

        Console.WriteLine($"""

              Console     {console.Url}
            {await KeyLineAsync(stoppingToken)}{DashboardLine()}  Ctrl-C stops everything; shops and stores are kept.

            """);
    }

    /// <summary>On the terminal of whoever started it, and in no log: the platform's own lines go elsewhere.</summary>
    private async Task<string> KeyLineAsync(CancellationToken cancellationToken) =>
        environment.IsDevelopment() ? $"  Key         {await key.GetValueAsync(cancellationToken)}{Environment.NewLine}" : "";

    private string DashboardLine() =>
        configuration["ASPNETCORE_URLS"]?.Split(';')[0] is { Length: > 0 } dashboard && configuration["AppHost:BrowserToken"] is { Length: > 0 } token
            ? $"  Dashboard   {dashboard}/login?t={token}{Environment.NewLine}"
            : "";
}
