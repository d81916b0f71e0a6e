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
    /// Gives each of <paramref name="services"/> the commands <c>break</c>, <c>slow</c> and <c>heal</c>, so that anyone can watch in the dashboard and the
    /// console how the others get on without it. They concern the ways to it, through a proxy on each; the service itself stays well, and so does what people
    /// open in a browser. Only while it runs on a developer's machine: in production there are neither commands nor proxies.
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
                .WithFault(faults, "slow", "Slow it", "Clock", "Its answers come 2 to 5 seconds later, until it is healed. Callers wait 3 seconds at most.",
                    edge => edge.Latency(TimeSpan.FromSeconds(3.5), TimeSpan.FromSeconds(1.5)))
                .WithFault(faults, "heal", "Heal it", "HeartPulse", "Ends what break and slow have begun.",
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
            // which of the commands are offered now
            await context.Services.GetRequiredService<ResourceNotificationService>().PublishUpdateAsync(service.Resource, context.ResourceName, snapshot => snapshot);
            return CommandResults.Success(said);
        }, new CommandOptions
        {
            Description = description,
            IconName = icon,
            UpdateState = _ => faults.Current == (fault is null ? null : name) ? ResourceCommandState.Disabled : ResourceCommandState.Enabled,
        });

#pragma warning disable CA1848 // a line for each press of a button
    private static void LogFault(this ILogger logger, string title, string said) => logger.LogWarning("{Command}: {What}", title, said);
#pragma warning restore CA1848
}

/// <summary>What is wrong just now on the ways to a service.</summary>
internal sealed class FaultsOfService(IResource service)
{
    private readonly Lock _lock = new();
    private List<FaultScope> _scopes = [];

    /// <summary>The command that is in force; null when all is well.</summary>
    public string? Current { get; private set; }

    /// <summary>Ends what is in force and begins <paramref name="fault"/> on every way to the service.</summary>
    /// <returns>Who uses the service.</returns>
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
