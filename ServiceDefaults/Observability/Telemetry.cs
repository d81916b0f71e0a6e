using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Reflection;
using Microsoft.AspNetCore.Diagnostics;
using OpenTelemetry;
using OpenTelemetry.Context.Propagation;
using OpenTelemetry.Instrumentation.AspNetCore;
using OpenTelemetry.Logs;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Platform.ServiceDefaults.Observability;

/// <summary>
/// Metrics for Prometheus, always; traces, metrics and logs over OTLP when <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> is set. The standard <c>OTEL_*</c> variables apply, including
/// those for sampling (<c>OTEL_TRACES_SAMPLER</c>).
/// </summary>
internal static class TelemetryExtensions
{
    /// <summary>Key of the <see cref="MeterProvider"/> behind <c>/metrics</c>.</summary>
    public const string Prometheus = "prometheus";

    private const string EndpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT";

    public static void AddTelemetry(this IHostApplicationBuilder builder)
    {
        var (services, environment) = (builder.Services, builder.Environment);
        services.AddHostedService<TraceIds>();
        services.AddKeyedSingleton(Prometheus, (provider, _) => CreatePrometheusMeters(provider, environment));
        if (string.IsNullOrWhiteSpace(builder.Configuration[EndpointVariable]))
        {
            return;
        }

        builder.Logging.AddOpenTelemetry(logging =>
        {
            logging.IncludeFormattedMessage = true;
            logging.IncludeScopes = true;
        });
        // With any other propagator the instrumentation reads traceparent itself, past TrustedCallersPropagator.
        Sdk.SetDefaultTextMapPropagator(new TraceContextPropagator());
        services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.Describe(environment))
            .WithMetrics(metrics => metrics.AddInstruments())
            .WithTracing(tracing => tracing
                .AddAspNetCoreInstrumentation(ConfigureServerSpans)
                // HttpClient's spans have their tags already; the instrumentation would only add its callbacks to the cost of each attempt.
                .AddSource("System.Net.Http", PlatformTelemetry.SourceName))
            .UseOtlpExporter();
        services.AddHostedService<FlushOnStop>();
    }

    // A provider of its own: the renamed metrics keep the names of the conventions over OTLP.
    private static MeterProvider CreatePrometheusMeters(IServiceProvider services, IHostEnvironment environment) => Sdk.CreateMeterProviderBuilder()
        .ConfigureServices(inner => inner.AddSingleton(services.GetRequiredService<IConfiguration>()).AddSingleton(services.GetRequiredService<IMeterFactory>()))
        .ConfigureResource(resource => resource.Describe(environment))
        .AddInstruments()
        // Prometheus reserves the suffix _count for histograms.
        .AddView("db.client.connection.count", "db.client.connections")
        .AddView("dotnet.assembly.count", "dotnet.assemblies")
        .AddView("dotnet.process.cpu.count", "dotnet.process.cpus")
        .AddView("dotnet.timer.count", "dotnet.timers")
        .AddPrometheusExporter()
        .Build();

    private static MeterProviderBuilder AddInstruments(this MeterProviderBuilder metrics)
    {
        // Several services may run in one process, in tests for instance; each exports only its own instruments.
        ((IDeferredMeterProviderBuilder)metrics).Configure((services, deferred) =>
        {
            var own = services.GetRequiredService<IMeterFactory>();
            deferred.AddView(instrument => instrument.Meter.Scope is IMeterFactory scope && scope != own ? MetricStreamConfiguration.Drop : null);
        });
        return metrics
            .AddAspNetCoreInstrumentation()
            .AddHttpClientInstrumentation()
            .AddRuntimeInstrumentation()
            .AddMeter("Npgsql", PlatformTelemetry.MeterPrefix + "*");
    }

    private static void Describe(this ResourceBuilder resource, IHostEnvironment environment)
    {
        var version = Assembly.GetEntryAssembly()?.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion;
        resource.Clear()
            .AddService(environment.ApplicationName, "platform", version, serviceInstanceId: $"{Environment.MachineName}-{Environment.ProcessId}")
            .AddTelemetrySdk()
            // Last, because OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
            .AddEnvironmentVariableDetector();
    }

    private static void ConfigureServerSpans(AspNetCoreTraceInstrumentationOptions options)
    {
        // Probes would be most of what is stored.
        options.Filter = context => !DefaultEndpoints.IsProbe(context.Request.Path);
        // Only the values are redacted, and users type names too.
        options.EnrichWithHttpRequest = (span, _) => span.SetTag("url.query", null);
        options.EnrichWithHttpResponse = (span, response) =>
        {
            // The instrumentation sees unhandled exceptions only.
            if (response.StatusCode >= 500 && response.HttpContext.Features.Get<IExceptionHandlerFeature>() is { } failure)
            {
                span.SetTag("error.type", failure.Error.GetType().FullName);
            }
        };
    }
}

/// <summary>Exports what is still queued once the other hosted services have stopped, within a limit: the default of 5 s would delay the shutdown when the collector is unavailable.</summary>
internal sealed class FlushOnStop(TracerProvider tracing, MeterProvider metrics, LoggerProvider logging) : IHostedLifecycleService
{
    private const int TimeoutMilliseconds = 500;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.WhenAll(
        Task.Run(() => tracing.Shutdown(TimeoutMilliseconds), CancellationToken.None),
        Task.Run(() => metrics.Shutdown(TimeoutMilliseconds), CancellationToken.None),
        Task.Run(() => logging.Shutdown(TimeoutMilliseconds), CancellationToken.None));

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

/// <summary>Gives requests and jobs a trace id even when nothing is exported, for problem responses, logs and outgoing calls.</summary>
internal sealed class TraceIds : IHostedService, IDisposable
{
    private readonly ActivityListener _listener = new()
    {
        ShouldListenTo = source => source.Name is "Microsoft.AspNetCore" or PlatformTelemetry.SourceName,
        Sample = (ref _) => ActivitySamplingResult.PropagationData,
    };

    public Task StartAsync(CancellationToken cancellationToken)
    {
        ActivitySource.AddActivityListener(_listener);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => _listener.Dispose();
}
