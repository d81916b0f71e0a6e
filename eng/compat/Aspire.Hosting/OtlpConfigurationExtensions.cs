using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Dashboard;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Aspire.Hosting;

public static class OtlpConfigurationExtensions
{
    /// <summary>Tells the resource where the dashboard takes telemetry, and what name to give it.</summary>
    public static void AddOtlpEnvironment(IResource resource, IConfiguration configuration, IHostEnvironment environment)
    {
        ArgumentNullException.ThrowIfNull(resource);
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(environment);
        resource.Annotations.Add(new OtlpExporterAnnotation());
        resource.Annotations.Add(new EnvironmentCallbackAnnotation(context =>
        {
            if (context.ExecutionContext.IsPublishMode)
                return;
            var variables = context.EnvironmentVariables;
            var grpc = configuration["ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL"] ?? configuration["DOTNET_DASHBOARD_OTLP_ENDPOINT_URL"];
            var http = configuration["ASPIRE_DASHBOARD_OTLP_HTTP_ENDPOINT_URL"] ?? configuration["DOTNET_DASHBOARD_OTLP_HTTP_ENDPOINT_URL"];
            // the dashboard's own endpoints where it runs: their ports may be random
            var dashboard = context.ExecutionContext.Services?.GetRequiredService<DistributedApplicationModel>().FindDashboard();
            variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = (object?)EndpointOf(dashboard, "otlp-grpc") ?? EndpointOf(dashboard, "otlp-http") ?? (object)(grpc ?? http ?? "http://localhost:18889");
            variables["OTEL_EXPORTER_OTLP_PROTOCOL"] = grpc is null && http is not null ? "http/protobuf" : "grpc";
            // DCP fills in the instance's own
            variables["OTEL_RESOURCE_ATTRIBUTES"] = "service.instance.id={{- index .Annotations \"otel-service-instance-id\" -}}";
            variables["OTEL_SERVICE_NAME"] = "{{- index .Annotations \"otel-service-name\" -}}";
            if (configuration["AppHost:OtlpApiKey"] is { } key)
                variables["OTEL_EXPORTER_OTLP_HEADERS"] = $"x-otlp-api-key={key}";
            if (environment.IsDevelopment())
            {
                // telemetry shows within a second, all of it
                variables["OTEL_BLRP_SCHEDULE_DELAY"] = "1000";
                variables["OTEL_BSP_SCHEDULE_DELAY"] = "1000";
                variables["OTEL_METRIC_EXPORT_INTERVAL"] = "1000";
                variables["OTEL_TRACES_SAMPLER"] = "always_on";
                variables["OTEL_METRICS_EXEMPLAR_FILTER"] = "trace_based";
            }
        }));
    }

    private static EndpointReference? EndpointOf(ExecutableResource? dashboard, string name) =>
        dashboard is not null && new EndpointReference(dashboard, name) is { Exists: true } endpoint ? endpoint : null;

    public static IResourceBuilder<T> WithOtlpExporter<T>(this IResourceBuilder<T> builder)
        where T : IResourceWithEnvironment
    {
        AddOtlpEnvironment(builder.Resource, builder.ApplicationBuilder.Configuration, builder.ApplicationBuilder.Environment);
        return builder;
    }
}
