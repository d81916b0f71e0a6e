using Microsoft.Extensions.DependencyInjection.Extensions;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Messaging;

/// <summary>Registers sending and receiving of messages.</summary>
public static class MessagingExtensions
{
    /// <summary>
    /// Adds the <see cref="Outbox"/> and the dispatcher that delivers to <paramref name="destinations"/> (service names) as <paramref name="source"/> (this service's name).
    /// </summary>
    public static TBuilder AddOutbox<TBuilder>(this TBuilder builder, string source, params string[] destinations) where TBuilder : IHostApplicationBuilder
    {
        AddMessaging(builder);
        var waiting = destinations.ToDictionary(destination => destination, destination => new Fallback(destination, "messages", FallbackKind.Queue), StringComparer.Ordinal);
        builder.Services.AddSingleton(provider => new OutboxRoute(source, provider.GetRequiredService<Destinations>(), waiting));
        foreach (var destination in destinations)
        {
            builder.Services.AddFallback(waiting[destination]);
            builder.AddServiceClient(HttpDelivery.ClientName(destination), destination);
        }

        builder.Services.AddProcessSession();
        builder.Services.AddSingleton<OutboxStore>();
        builder.Services.AddSingleton<HttpDelivery>();
        builder.Services.AddSingleton<OutboxSender>();
        builder.Services.AddHostedService<OutboxTakeover>();
        builder.Services.AddHostedService<OutboxDispatcher>();
        builder.Services.AddHostedService<BacklogMetrics>();
        return builder;
    }

    /// <summary>Adds the inbox. Register handlers with <see cref="InboxBuilder.Handle{TData}"/>, and map the endpoints with <c>MapMessages</c>.</summary>
    public static InboxBuilder AddInbox(this IHostApplicationBuilder builder)
    {
        AddMessaging(builder);
        return new InboxBuilder(builder.Services);
    }

    private static void AddMessaging(IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<MessagingOptions>().Bind(builder.Configuration.GetSection("Messaging")).ValidateDataAnnotations()
            .Validate(options => options.SendTimeout * 2 <= options.Lease, "Messaging:Lease must be at least twice Messaging:SendTimeout.")
            .ValidateOnStart();
        if (builder.Services.Any(service => service.ServiceType == typeof(MessagingMetrics)))
        {
            return;
        }

        builder.Services.AddSingleton<MessagingMetrics>();
        AddCleanup(builder, "inbox", "delete from inbox where (source, id) in (select source, id from inbox where received_at <= now() - @retention limit @batch for update skip locked)");
        AddCleanup(builder, "inbox_failures", "delete from inbox_failures where (source, id) in (select source, id from inbox_failures where last_failed_at <= now() - @retention limit @batch for update skip locked)");
        builder.Services.TryAddSingleton<Outbox>();
        builder.Services.TryAddSingleton<Inbox>();
        builder.Services.TryAddSingleton<DeadLetters>();
        builder.Services.TryAddSingleton<Backlogs>();
    }

    private static void AddCleanup(IHostApplicationBuilder builder, string table, string sql) =>
        builder.Services.AddSingleton(provider => new CleanupTask(table, sql, provider.GetRequiredService<IOptions<MessagingOptions>>().Value.InboxRetention));
}

/// <param name="Source">The service that sends.</param>
/// <param name="Health">Breakers and probes of the services that it sends to.</param>
/// <param name="Waiting">The names of these services, and how it is reported that messages to them are waiting.</param>
internal sealed record OutboxRoute(string Source, Destinations Health, IReadOnlyDictionary<string, Fallback> Waiting);
