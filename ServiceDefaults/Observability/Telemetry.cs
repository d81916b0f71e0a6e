using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Reflection;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Logs;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Platform.ServiceDefaults.Observability;

/// <summary>
/// Metrics for Prometheus to fetch, always; traces, metrics and logs over OTLP, when <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> is set. The standard <c>OTEL_*</c>
/// variables hold, those for sampling among them (<c>OTEL_TRACES_SAMPLER</c>).
/// </summary>
internal static class TelemetryExtensions
{
    private const string EndpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT";

    public static void AddTelemetry(this IHostApplicationBuilder builder)
    {
        builder.Services.AddSingleton(provider => CreateMeters(provider, metrics => metrics
            // Prometheus keeps the ending for histograms
            .AddView("db.client.connection.count", "db.client.connections")
            .AddView("dotnet.assembly.count", "dotnet.assemblies")
            .AddView("dotnet.process.cpu.count", "dotnet.process.cpus")
            .AddView("dotnet.timer.count", "dotnet.timers")
            .AddPrometheusExporter()));
        builder.Services.AddHostedService<TraceIds>();
        if (string.IsNullOrWhiteSpace(builder.Configuration[EndpointVariable]))
        {
            return;
        }

        builder.Logging.AddOpenTelemetry(logging =>
        {
            logging.SetResourceBuilder(CreateResource(builder.Environment));
            logging.IncludeFormattedMessage = true;
            logging.IncludeScopes = true;
            logging.AddOtlpExporter();
        });
        // first of the hosted services, so that the others' first spans are seen
        builder.Services.Insert(0, ServiceDescriptor.Singleton<IHostedService, OtlpExport>());
    }

    public static MeterProvider CreateMeters(IServiceProvider services, Func<MeterProviderBuilder, MeterProviderBuilder> export)
    {
        var own = services.GetRequiredService<IMeterFactory>();
        return export(Sdk.CreateMeterProviderBuilder()
            .ConfigureServices(inner => inner.AddSingleton(services.GetRequiredService<IConfiguration>()))
            .SetResourceBuilder(CreateResource(services.GetRequiredService<IHostEnvironment>()))
            .AddMeter("Microsoft.AspNetCore.*", "System.Net.Http", "System.Runtime", "Npgsql", PlatformTelemetry.MeterPrefix + "*")
            // two services may live in one process, in tests for instance, and each tells of itself
            .AddView(instrument => instrument.Meter.Scope is IMeterFactory scope && scope != own ? MetricStreamConfiguration.Drop : null))
            .Build();
    }

    public static ResourceBuilder CreateResource(IHostEnvironment environment)
    {
        var version = Assembly.GetEntryAssembly()?.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion;
        return ResourceBuilder.CreateEmpty()
            .AddService(environment.ApplicationName, "platform", version, serviceInstanceId: $"{Environment.MachineName}-{Environment.ProcessId}")
            .AddTelemetrySdk()
            // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over the above
            .AddEnvironmentVariableDetector();
    }
}

/// <summary>Holds the providers that export over OTLP as long as the service runs. OpenTelemetry's hosting package would do this; the SDK alone is enough.</summary>
internal sealed class OtlpExport(IServiceProvider services, IConfiguration configuration, IHostEnvironment environment, LoggerProvider logging) : IHostedLifecycleService, IDisposable
{
    // what is still queued gets this long when the service stops; a collector that is gone must not keep it
    private const int FlushMilliseconds = 500;

    private TracerProvider? _tracing;
    private MeterProvider? _metrics;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _tracing = Sdk.CreateTracerProviderBuilder()
            .ConfigureServices(inner => inner.AddSingleton(configuration))
            .SetResourceBuilder(TelemetryExtensions.CreateResource(environment))
            .AddSource("Microsoft.AspNetCore", "System.Net.Http", "Npgsql", PlatformTelemetry.SourceName)
            .AddProcessor(new RootStatementFilter())
            .AddOtlpExporter()
            .Build();
        _metrics = TelemetryExtensions.CreateMeters(services, metrics => metrics.AddOtlpExporter());
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    // after the others have stopped, so that their last spans go too
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.WhenAll(
        Task.Run(() => _tracing?.Shutdown(FlushMilliseconds), CancellationToken.None),
        Task.Run(() => _metrics?.Shutdown(FlushMilliseconds), CancellationToken.None),
        Task.Run(() => logging.Shutdown(FlushMilliseconds), CancellationToken.None));

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose()
    {
        _tracing?.Dispose();
        _metrics?.Dispose();
    }
}

/// <summary>Statements that belong to no request or job, such as the polls of a queue, are not traced: there is one each second and nobody looks for them.</summary>
internal sealed class RootStatementFilter : BaseProcessor<Activity>
{
    public override void OnStart(Activity data)
    {
        if (data.Source.Name == "Npgsql" && data.ParentSpanId == default)
        {
            data.IsAllDataRequested = false;
            data.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
        }
    }
}

/// <summary>Gives requests and jobs a trace id also when nothing is exported, for problems, logs and the calls that follow.</summary>
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
