using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Platform.AppHost;

internal static class AnnouncementExtensions
{
    /// <summary>Prints, once every resource is healthy, where the console and the dashboard are and how to stop.</summary>
    public static void AnnounceWhenHealthy(this IDistributedApplicationBuilder builder, IResourceBuilder<ProjectResource> console)
    {
        if (builder.ExecutionContext.IsRunMode)
        {
            builder.Services.AddHostedService(services =>
                ActivatorUtilities.CreateInstance<Announcement>(services, console.GetEndpoint("http")));
        }
    }
}

internal sealed class Announcement(EndpointReference console, DistributedApplicationModel model,
    ResourceNotificationService notifications, IConfiguration configuration) : BackgroundService
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
            {DashboardLine()}  Ctrl-C stops everything; shops and stores are kept.

            """);
    }

    private string DashboardLine() =>
        configuration["ASPNETCORE_URLS"]?.Split(';')[0] is { Length: > 0 } dashboard && configuration["AppHost:BrowserToken"] is { Length: > 0 } token
            ? $"  Dashboard   {dashboard}/login?t={token}{Environment.NewLine}"
            : "";
}
