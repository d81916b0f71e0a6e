using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Http.Resilience;
using Platform.ServiceDefaults;
using Platform.ServiceDefaults.Communication;

namespace Platform.Benchmarks.Communication;

/// <summary>A kind of client with which each service calls the next one. The client is registered under the name <see cref="Client"/>.</summary>
internal sealed record Variant(string Name, Action<IHostApplicationBuilder, Uri> AddClient, Action<WebApplication>? Use = null)
{
    public const string Client = "next";

    public static readonly Variant Bare = new("no handler", (builder, next) => Plain(builder, next));

    public static readonly Variant Standard = new("standard handler", (builder, next) => Plain(builder, next).AddStandardResilienceHandler());

    public static readonly Variant StandardWithoutBreaker = new("standard handler, breaker off", (builder, next) => Plain(builder, next)
        .AddStandardResilienceHandler(options => options.CircuitBreaker.MinimumThroughput = int.MaxValue));

    public static readonly Variant Platform = new("service client", (builder, next) => Service(builder, next), Defaults);

    public static readonly Variant PlatformWithoutBreaker = new(
        "service client, breaker off", (builder, next) => Service(builder, next, ("Services:next:CircuitBreaker:Enabled", "false")), Defaults);

    private static IHttpClientBuilder Plain(IHostApplicationBuilder builder, Uri next) =>
        builder.Services.AddHttpClient(Client, client => client.BaseAddress = next);

    private static void Service(IHostApplicationBuilder builder, Uri next, params (string Key, string Value)[] settings)
    {
        builder.Configuration.AddInMemoryCollection(settings.ToDictionary(setting => setting.Key, setting => (string?)setting.Value));
        builder.Configuration.AddInMemoryCollection([new("NEXT_URL", next.ToString()), new("InternalToken", "benchmark"), new("Admission:RatePerSecond", "1000000"), new("Admission:Burst", "1000000")]);
        builder.AddServiceDefaults();
        builder.AddServiceClient(Client, "next");
    }

    private static void Defaults(WebApplication app)
    {
        app.UseServiceDefaults();
        app.MapDefaultEndpoints();
    }
}
