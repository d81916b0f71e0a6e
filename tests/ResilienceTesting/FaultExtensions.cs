using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Platform.ResilienceTesting;

/// <summary>Adds faults to the edges of an application model.</summary>
public static class FaultExtensions
{
    /// <summary>
    /// Puts a TCP proxy on every edge of the model, i.e. on each endpoint of another resource that occurs in a resource's environment or arguments, also within
    /// connection strings. Must be called before the application is built. Has no effect when publishing. A second call adds its targets to those of the first.
    /// </summary>
    /// <param name="builder">The application's builder, for instance that of <c>DistributedApplicationTestingBuilder.CreateAsync</c>.</param>
    /// <param name="seed">The initial seed of each edge, <see cref="FaultInjector.DefaultSeed"/> by default; see <see cref="FaultInjector.Seed"/>.</param>
    /// <param name="time">The clock of all faults; the system's by default.</param>
    /// <param name="targets">The resources whose endpoints get proxies; all by default.</param>
    /// <returns>The same builder.</returns>
    public static T AddFaults<T>(this T builder, int? seed = null, TimeProvider? time = null, IEnumerable<IResource>? targets = null)
        where T : IDistributedApplicationBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        if (builder.ExecutionContext.IsPublishMode)
            return builder;
        var settings = builder.Services.Select(service => service.ImplementationInstance).OfType<FaultSettings>().SingleOrDefault();
        if (settings is not null)
        {
            settings.Add(seed, time, targets);
            return builder;
        }

        settings = new FaultSettings(seed, time, targets);
        builder.Services.AddSingleton(settings);
        builder.Services.AddSingleton(services => new EdgeRegistry(
            services.GetRequiredService<DistributedApplicationModel>(), settings, services.GetRequiredService<ILoggerFactory>()));

        // Subscribed to the last event before the start, when the model is complete: values set later would bypass the proxies.
        builder.Eventing.Subscribe<BeforeStartEvent>((started, _) =>
        {
            var edges = started.Services.GetRequiredService<EdgeRegistry>();
            foreach (var resource in started.Model.Resources)
                edges.Intercept(builder, resource);
            return Task.CompletedTask;
        });
        return builder;
    }

    /// <summary>
    /// The edge on which to put faults: <c>using var fault = app.Fault("backend", "postgres").Refuse();</c>. Can be called before the application is started, for
    /// faults that are in force from the beginning.
    /// </summary>
    /// <param name="app">An application whose builder was given to <see cref="AddFaults"/>.</param>
    /// <param name="consumer">The name of the resource that connects.</param>
    /// <param name="target">The name of the resource that it connects to; for a database, the edge is that to its server.</param>
    /// <exception cref="ArgumentException">There is no such edge; the message lists the existing ones.</exception>
    /// <exception cref="InvalidOperationException"><see cref="AddFaults"/> was not called.</exception>
    public static Edge Fault(this DistributedApplication app, string consumer, string target)
    {
        ArgumentNullException.ThrowIfNull(app);
        ArgumentException.ThrowIfNullOrEmpty(consumer);
        ArgumentException.ThrowIfNullOrEmpty(target);
        return Registry(app.Services).Find(consumer, target);
    }

    /// <summary>All edges, ordered by name.</summary>
    /// <exception cref="InvalidOperationException"><see cref="AddFaults"/> was not called.</exception>
    public static IReadOnlyList<Edge> Edges(this DistributedApplication app)
    {
        ArgumentNullException.ThrowIfNull(app);
        return app.Services.Edges();
    }

    /// <summary>Like <see cref="Edges(DistributedApplication)"/>, for code that has only the application's services, such as a resource command.</summary>
    /// <exception cref="InvalidOperationException"><see cref="AddFaults"/> was not called.</exception>
    public static IReadOnlyList<Edge> Edges(this IServiceProvider services) => Registry(services).All();

    /// <summary>The faults in force, one line per edge, for messages of failed assertions.</summary>
    /// <exception cref="InvalidOperationException"><see cref="AddFaults"/> was not called.</exception>
    public static string DescribeFaults(this DistributedApplication app)
    {
        var faulty = app.Edges().Where(edge => edge.Current.Count > 0).Select(edge => edge.Description).ToList();
        return faulty.Count == 0 ? "No fault is in force." : string.Join(Environment.NewLine, faulty);
    }

    private static EdgeRegistry Registry(IServiceProvider services) => services.GetService<EdgeRegistry>()
        ?? throw new InvalidOperationException("There are no proxies on the edges: call builder.AddFaults() before the application is built.");
}
