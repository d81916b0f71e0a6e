using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Platform.AppHost.Running;

internal static class StartReportExtensions
{
    /// <summary>
    /// Reports the start on the terminal: the addresses (and, in Development, the key) once everything is healthy, what it is still waiting for, and the last output of what
    /// failed. A resource that fails before it has been healthy ends the run with exit code 1.
    /// </summary>
    public static void ReportStart(this IDistributedApplicationBuilder builder, IResourceBuilder<ProjectResource> console, IResourceBuilder<ParameterResource> key)
    {
        if (builder.ExecutionContext.IsRunMode)
        {
            // Must be the first hosted service: Aspire's own StartAsync doesn't return until all resources have started, which never happens if one fails.
            builder.Services.Insert(0, ServiceDescriptor.Singleton<IHostedService>(services =>
                ActivatorUtilities.CreateInstance<StartReport>(services, Console.Out, TimeProvider.System, console.GetEndpoint("http"), key.Resource)));
        }
    }
}

internal sealed class StartReport(TextWriter terminal, TimeProvider time, EndpointReference console, ParameterResource key, DistributedApplicationModel model,
    ResourceNotificationService notifications, ResourceLoggerService logs, IServiceProvider services) : BackgroundService
{
    private const int OutputLines = 8;
    private static readonly TimeSpan FirstReminder = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan NextReminders = TimeSpan.FromSeconds(30);

    // What Aspire itself writes to a resource's log before it starts the process.
    private static readonly string[] OrchestratorLines = ["[sys]", "Waiting for resource", "Finished waiting for resource", "No custom certificate authorities"];

    private readonly Dictionary<string, ResourceEvent> _latest = [];
    private readonly HashSet<IResource> _wasHealthy = [];
    private bool _announced;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await using var reminder = time.CreateTimer(_ => Remind(), null, FirstReminder, NextReminders);
        await foreach (var change in notifications.WatchAsync(stoppingToken))
        {
            await FollowAsync(change, stoppingToken);
        }
    }

    private async Task FollowAsync(ResourceEvent change, CancellationToken cancellationToken)
    {
        bool failed, allHealthy;
        lock (_latest)
        {
            failed = HasFailed(change) && !(_latest.TryGetValue(change.ResourceId, out var before) && HasFailed(before));
            _latest[change.ResourceId] = change;
            if (IsHealthy(change))
            {
                _wasHealthy.Add(change.Resource);
            }

            allHealthy = !_announced && model.Resources.Where(IsChecked).All(resource =>
                _latest.Values.Any(latest => latest.Resource == resource && IsHealthy(latest)));
        }

        if (failed)
        {
            await ReportFailureAsync(change, cancellationToken);
        }
        else if (allHealthy)
        {
            await AnnounceAsync(cancellationToken);
        }
    }

    private static bool IsChecked(IResource resource) => resource.HasAnnotationOfType<HealthCheckAnnotation>();

    private static bool IsHealthy(ResourceEvent change) =>
        change.Snapshot.State?.Text == KnownResourceStates.Running && change.Snapshot.HealthStatus == Microsoft.Extensions.Diagnostics.HealthChecks.HealthStatus.Healthy;

    /// <summary>Whether the resource exited with an error or could not be started. Databases, and resources whose dependency failed, are skipped, so that only the cause is reported.</summary>
    private bool HasFailed(ResourceEvent change) =>
        change.Resource is not IResourceWithParent
        && (change.Snapshot.ExitCode is not null and not 0 || (change.Snapshot.State?.Text == KnownResourceStates.FailedToStart && !IsFailedDependent(change)));

    private bool IsFailedDependent(ResourceEvent change) => change.Resource.TryGetAnnotationsOfType<WaitAnnotation>(out var waits)
        && waits.Any(wait => _latest.Values.Any(latest => latest.Resource == wait.Resource && KnownResourceStates.TerminalStates.Contains(latest.Snapshot.State?.Text)));

    private async Task ReportFailureAsync(ResourceEvent change, CancellationToken cancellationToken)
    {
        var how = change.Snapshot.ExitCode switch
        {
            null => "could not be started",
            < 0 => "crashed", // ended by a signal: an unhandled exception ends .NET with SIGABRT
            var code => $"ended with exit code {code}",
        };
        var output = await LastOutputAsync(change.ResourceId, cancellationToken);
        await terminal.WriteLineAsync(
            $"{change.Resource.Name} {how}{(output.Count == 0 ? "." : ". Its last output:")}{string.Concat(output.Select(line => $"{Environment.NewLine}    {line}"))}");
        if (!_wasHealthy.Contains(change.Resource))
        {
            Environment.ExitCode = 1;
            services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
        }
    }

    /// <summary>The last lines of output, without stack frames, which would push the error message out of view.</summary>
    private async Task<IReadOnlyList<string>> LastOutputAsync(string resourceId, CancellationToken cancellationToken)
    {
        List<string> lines = [];
        try
        {
            await foreach (var batch in logs.GetAllAsync(resourceId).WithCancellation(cancellationToken))
            {
                lines.AddRange(batch.Select(line => WithoutTime(line.Content)).Where(line => line.Trim().Length > 0
                    && !line.StartsWith("   at ", StringComparison.Ordinal) && !OrchestratorLines.Any(start => line.StartsWith(start, StringComparison.Ordinal))));
            }
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            // The orchestrator forgets the output of a resource that is started again meanwhile. A report must not end the run.
            lines.Add($"(its output can't be read: {e.Message})");
        }

        return lines.TakeLast(OutputLines).ToList();
    }

    private static string WithoutTime(string line) => line.Split(' ', 2) is [var time, var rest] && DateTimeOffset.TryParse(time, System.Globalization.CultureInfo.InvariantCulture, out _) ? rest : line;

    private void Remind()
    {
        lock (_latest)
        {
            var missing = _announced ? [] : model.Resources.Where(IsChecked)
                .Where(resource => resource is not IResourceWithParent && !_latest.Values.Any(latest => latest.Resource == resource && IsHealthy(latest)))
                .Select(Describe).ToList();
            if (missing.Count > 0)
            {
                terminal.WriteLine($"Waiting for {string.Join("; ", missing)}.");
            }
        }
    }

    private string Describe(IResource resource)
    {
        var snapshot = _latest.Values.FirstOrDefault(latest => latest.Resource == resource)?.Snapshot;
        var report = snapshot?.HealthReports.FirstOrDefault(report => !string.IsNullOrEmpty(report.Description))?.Description;
        return $"{resource.Name} ({report ?? snapshot?.State?.Text ?? "not started"})";
    }

    private async Task AnnounceAsync(CancellationToken cancellationToken)
    {
        _announced = true;
        await terminal.WriteLineAsync($"""

              Console     {console.Url}
            {await KeyLineAsync(cancellationToken)}{DashboardLine()}  Ctrl-C stops everything; shops and stores are kept.

            """);
    }

    /// <summary>The administrator's key, only in Development. Written to the terminal and never to a log.</summary>
    private async Task<string> KeyLineAsync(CancellationToken cancellationToken) => services.GetRequiredService<IHostEnvironment>().IsDevelopment()
        ? $"  Key         {await key.GetValueAsync(cancellationToken)}{Environment.NewLine}"
        : "";

    private string DashboardLine()
    {
        var configuration = services.GetRequiredService<IConfiguration>();
        return configuration["ASPNETCORE_URLS"]?.Split(';')[0] is { Length: > 0 } dashboard && configuration["AppHost:BrowserToken"] is { Length: > 0 } token
            ? $"  Dashboard   {dashboard}/login?t={token}{Environment.NewLine}"
            : "";
    }
}
