using Microsoft.Extensions.DependencyInjection.Extensions;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.ServiceDefaults.Postgres.Idempotency;

/// <summary>Registers idempotency keys.</summary>
public static class IdempotencyExtensions
{
    internal static void AddIdempotency(this IHostApplicationBuilder builder)
    {
        builder.Services.AddOptions<IdempotencyOptions>().Bind(builder.Configuration.GetSection("Idempotency")).ValidateDataAnnotations().ValidateOnStart();
        builder.Services.TryAddSingleton<IdempotencyStore>();
        builder.Services.AddSingleton<AbandonedClaims>();
        builder.Services.AddHostedService(provider => provider.GetRequiredService<AbandonedClaims>());
        builder.Services.TryAddScoped<Idempotency>();
        builder.Services.AddSingleton(new CleanupTask(
            "idempotency_keys",
            "delete from idempotency_keys where (caller, key) in (select caller, key from idempotency_keys where expires_at <= now() limit @batch for update skip locked)",
            TimeSpan.Zero));
    }

    /// <summary>
    /// Honours <c>Idempotency-Key</c> on state-changing endpoints: stores the first final response for a key and replays it. Handlers commit through
    /// <see cref="Idempotency.CommitAsync{T}"/>, so that effect and response are stored together.
    /// </summary>
    public static TBuilder WithIdempotency<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder
    {
        builder.Add(endpoint =>
        {
            var methods = endpoint.Metadata.OfType<IHttpMethodMetadata>().SelectMany(metadata => metadata.HttpMethods);
            if (!methods.Any(method => HttpMethods.IsGet(method) || HttpMethods.IsHead(method)))
            {
                endpoint.Metadata.Add(new IdempotencyMiddleware());
                endpoint.Metadata.Add(new HeaderDescription(
                    IdempotencyMiddleware.HeaderName, "Makes the call safe to retry: the first final response for a key is replayed for 24 hours."));
            }
        });
        return builder;
    }
}
