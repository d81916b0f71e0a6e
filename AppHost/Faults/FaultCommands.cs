using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Platform.ResilienceTesting;

namespace Platform.AppHost.Faults;

internal static class FaultCommandExtensions
{
    /// <summary>
    /// Adds the dashboard commands <c>break</c>, <c>slow</c> and <c>heal</c> to each of <paramref name="services"/>. They inject faults into the proxies between it and the
    /// services that call it; the service itself and requests from browsers are not affected. Only in run mode in the Development environment: otherwise there are neither
    /// commands nor proxies.
    /// </summary>
    public static void AddFaultCommands(this IDistributedApplicationBuilder builder, params IResourceBuilder<ProjectResource>[] services)
    {
        if (!builder.ExecutionContext.IsRunMode || !builder.Environment.IsDevelopment())
            return;
        builder.AddFaults(targets: services.Select(service => service.Resource));
        foreach (var service in services)
        {
            var faults = new FaultsOfService(service.Resource);
            service
                .WithFault(faults, "break", "Break it", "PlugDisconnected", "Connections to it are refused, until it is healed.",
                    edge => edge.Refuse())
                .WithFault(faults, "slow", "Slow it", "Clock", "Its responses are delayed by 2 to 5 seconds until it is healed. Callers time out each attempt after 3 seconds.",
                    edge => edge.Latency(TimeSpan.FromSeconds(3.5), TimeSpan.FromSeconds(1.5)))
                .WithFault(faults, "heal", "Heal it", "HeartPulse", "Removes the faults that break and slow injected.",
                    fault: null);
        }
    }

    private static IResourceBuilder<ProjectResource> WithFault(this IResourceBuilder<ProjectResource> service, FaultsOfService faults,
        string name, string title, string icon, string description, Func<Edge, FaultScope>? fault) =>
        service.WithCommand(name, title, async context =>
        {
            var consumers = faults.Replace(context.Services, name, fault);
            var said = fault is null ? $"{service.Resource.Name} is healed." : $"{description} It is used by {string.Join(" and ", consumers)}.";
            context.Services.GetRequiredService<ResourceLoggerService>().GetLogger(context.ResourceName).LogFault(title, said);
            // The snapshot is unchanged, but publishing it makes the dashboard re-evaluate which commands are enabled.
            await context.Services.GetRequiredService<ResourceNotificationService>().PublishUpdateAsync(service.Resource, context.ResourceName, snapshot => snapshot);
            return CommandResults.Success(said);
        }, new CommandOptions
        {
            Description = description,
            IconName = icon,
            UpdateState = _ => faults.Current == (fault is null ? null : name) ? ResourceCommandState.Disabled : ResourceCommandState.Enabled,
        });

#pragma warning disable CA1848 // logged once per button press
    private static void LogFault(this ILogger logger, string title, string said) => logger.LogWarning("{Command}: {What}", title, said);
#pragma warning restore CA1848
}

/// <summary>The faults currently injected on the edges to one service.</summary>
internal sealed class FaultsOfService(IResource service)
{
    private readonly Lock _lock = new();
    private List<FaultScope> _scopes = [];

    /// <summary>The active fault command; null if there is none.</summary>
    public string? Current { get; private set; }

    /// <summary>Replaces the active fault by <paramref name="fault"/> on every edge to the service.</summary>
    /// <returns>The names of the services that call it.</returns>
    public IReadOnlyList<string> Replace(IServiceProvider services, string name, Func<Edge, FaultScope>? fault)
    {
        lock (_lock)
        {
            var edges = services.Edges().Where(edge => edge.Target == service).ToList();
            _scopes.ForEach(scope => scope.Dispose());
            _scopes = fault is null ? [] : [.. edges.Select(fault)];
            Current = fault is null ? null : name;
            return [.. edges.Select(edge => edge.Consumer.Name)];
        }
    }
}
