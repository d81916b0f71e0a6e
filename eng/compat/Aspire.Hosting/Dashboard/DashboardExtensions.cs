using System.Net.Sockets;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Dcp;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Dashboard;

/// <summary>Aspire's dashboard, as a resource of the application that it shows.</summary>
internal static partial class DashboardExtensions
{
    private const string ResourceName = "aspire-dashboard";
    private const string HealthCheckName = "aspire_dashboard_check";
    private const string OtlpGrpcEndpoint = "otlp-grpc";
    private const string OtlpHttpEndpoint = "otlp-http";

    /// <summary>Adds the dashboard and the service that it reads the resources from. To be called before the resources' own start is added.</summary>
    public static void AddDashboard(this IDistributedApplicationBuilder builder, DistributedApplicationOptions options)
    {
        if (options.DisableDashboard || builder.ExecutionContext.IsPublishMode)
            return;

        DashboardOptions.AddKeys(builder.Configuration);
        builder.Services.AddSingleton(services => DashboardOptions.Read(services.GetRequiredService<IConfiguration>(), options.AllowUnsecuredTransport));
        builder.Services.AddSingleton<ResourceServiceHost>();
        builder.Services.AddHostedService(services => services.GetRequiredService<ResourceServiceHost>());
        builder.Services.AddHostedService<DashboardLogForwarder>();
        builder.Services.AddHealthChecks().Add(new HealthCheckRegistration(
            HealthCheckName, services => ActivatorUtilities.CreateInstance<DashboardHealthCheck>(services), HealthStatus.Unhealthy, tags: null));

        builder.OnBeforeStart((@event, _) =>
        {
            var dashboard = CreateResource(@event.Services);
            // First, because it takes longest to start.
            @event.Model.Resources.Insert(0, dashboard);
            builder.Eventing.Subscribe<ResourceEndpointsAllocatedEvent>(dashboard, (_, _) =>
            {
                // What the other resources are told may have been port 0, or a port that was taken away to be random.
                if (Endpoint(dashboard, OtlpGrpcEndpoint) is { } grpc)
                    builder.Configuration["ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL"] = grpc.Url;
                if (Endpoint(dashboard, OtlpHttpEndpoint) is { } http)
                    builder.Configuration["ASPIRE_DASHBOARD_OTLP_HTTP_ENDPOINT_URL"] = http.Url;
                return Task.CompletedTask;
            });
            builder.Eventing.Subscribe<ResourceReadyEvent>(dashboard, (ready, _) =>
            {
                AnnounceAddress(dashboard, ready.Services);
                return Task.CompletedTask;
            });
            return Task.CompletedTask;
        });
    }

    public static ExecutableResource? FindDashboard(this DistributedApplicationModel model) =>
        model.Resources.OfType<ExecutableResource>().FirstOrDefault(resource => resource.Name == ResourceName);

    /// <summary>The address of the user interface; https where there is a choice.</summary>
    public static string? DashboardUrl(this ExecutableResource dashboard) =>
        FrontendEndpoints(dashboard).Where(endpoint => endpoint.IsAllocated).OrderByDescending(endpoint => endpoint.IsHttps).FirstOrDefault()?.Url;

    private static ExecutableResource CreateResource(IServiceProvider services)
    {
        var options = services.GetRequiredService<DashboardOptions>();
        var path = FindProgram(services.GetRequiredService<IConfiguration>(), services.GetRequiredService<DcpOptions>());

        var dashboard = new ExecutableResource(ResourceName, path, Path.GetDirectoryName(path)!);
        void AddEndpoint(BindingAddress? address, string? name, string? transport)
        {
            if (address is null)
                return;

            dashboard.Annotations.Add(new EndpointAnnotation(
                ProtocolType.Tcp, address.Scheme, transport, name, address.Port > 0 ? address.Port : null)
            { TargetHost = address.Host });
        }

        foreach (var url in options.Urls)
            AddEndpoint(url, name: null, transport: null);
        AddEndpoint(options.OtlpGrpcUrl, OtlpGrpcEndpoint, "http2");
        AddEndpoint(options.OtlpHttpUrl, OtlpHttpEndpoint, transport: null);

        dashboard.Annotations.Add(new CommandLineArgsCallbackAnnotation(context =>
        {
            context.Args.Add("dashboard");
            return Task.CompletedTask;
        }));
        dashboard.Annotations.Add(new EnvironmentCallbackAnnotation(context =>
            ConfigureAsync(dashboard, options, services, context.EnvironmentVariables, context.CancellationToken)));
        dashboard.Annotations.Add(new HealthCheckAnnotation(HealthCheckName));
        dashboard.Annotations.Add(new InitialSnapshotAnnotation(new CustomResourceSnapshot
        {
            ResourceType = KnownResourceTypes.Executable,
            Properties = [],
            IsHidden = !options.ShowItself,
            IconName = "ContentView",
        }));
        return dashboard;
    }

    private static string FindProgram(IConfiguration configuration, DcpOptions dcp)
    {
        // Both programs come in one bundle: dcp/dcp and managed/aspire-managed.
        var bundled = Path.Combine(Path.GetDirectoryName(Path.GetDirectoryName(dcp.CliPath))!, "managed", OperatingSystem.IsWindows() ? "aspire-managed.exe" : "aspire-managed");
        var path = configuration["ASPIRE_DASHBOARD_PATH"] ?? configuration["DcpPublisher:DashboardPath"] ?? bundled;
        return File.Exists(path)
            ? Path.GetFullPath(path)
            : throw new DistributedApplicationException($"The Aspire dashboard is not at '{path}': ./run fetches it.");
    }

    private static async Task ConfigureAsync(
        ExecutableResource dashboard, DashboardOptions options, IServiceProvider services, Dictionary<string, object> environment, CancellationToken cancellationToken)
    {
        foreach (var (name, value) in options.PassedOn)
            environment[name] = value;

        environment["ASPNETCORE_ENVIRONMENT"] = services.GetRequiredService<IConfiguration>()["ASPNETCORE_ENVIRONMENT"] ?? "Production";
        environment["ASPIRE_RESOURCE_SERVICE_ENDPOINT_URL"] = await services.GetRequiredService<ResourceServiceHost>().GetUrlAsync(cancellationToken);

        environment["ASPNETCORE_URLS"] = FrontendEndpoints(dashboard).Select(ListenUrl).Aggregate((first, second) => ReferenceExpression.Create($"{first};{second}"));
        if (dashboard.DashboardUrl() is { } publicUrl)
            environment["DASHBOARD__FRONTEND__PUBLICURL"] = publicUrl;
        if (Endpoint(dashboard, OtlpGrpcEndpoint) is { } grpc)
            environment["ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL"] = ListenUrl(grpc);
        if (Endpoint(dashboard, OtlpHttpEndpoint) is { } http)
            environment["ASPIRE_DASHBOARD_OTLP_HTTP_ENDPOINT_URL"] = ListenUrl(http);

        void Secure(string section, string mode, string keyName, string? key)
        {
            environment[$"DASHBOARD__{section}__AUTHMODE"] = key is null ? "Unsecured" : mode;
            if (key is not null)
                environment[$"DASHBOARD__{section}__{keyName}"] = key;
        }

        Secure("FRONTEND", "BrowserToken", "BROWSERTOKEN", options.BrowserToken);
        Secure("RESOURCESERVICECLIENT", "ApiKey", "APIKEY", options.ResourceServiceApiKey);
        Secure("OTLP", "ApiKey", "PRIMARYAPIKEY", options.OtlpApiKey);

        if (options.ApiKey is not null)
            Secure("API", "ApiKey", "PRIMARYAPIKEY", options.ApiKey);
        environment["DASHBOARD__API__ENABLED"] = options.ApiKey is null ? "false" : "true";

        // Its keys live as long as the browser's sign-in on this machine; that they are not encrypted on disk is no news.
        environment["LOGGING__LOGLEVEL__Microsoft.AspNetCore.DataProtection"] = "Error";
        environment["LOGGING__CONSOLE__FORMATTERNAME"] = "json";
    }

    /// <summary>Where the dashboard itself listens; the endpoint's own address is the proxy's in front of it.</summary>
    private static ReferenceExpression ListenUrl(EndpointReference endpoint) =>
        ReferenceExpression.Create($"{endpoint.Scheme}://{endpoint.EndpointAnnotation.TargetHost}:{endpoint.Property(EndpointProperty.TargetPort)}");

    private static IEnumerable<EndpointReference> FrontendEndpoints(ExecutableResource dashboard) =>
        new[] { Endpoint(dashboard, "https"), Endpoint(dashboard, "http") }.OfType<EndpointReference>();

    private static EndpointReference? Endpoint(ExecutableResource dashboard, string name) =>
        new EndpointReference(dashboard, name) is { Exists: true } endpoint ? endpoint : null;

    private static void AnnounceAddress(ExecutableResource dashboard, IServiceProvider services)
    {
        if (dashboard.DashboardUrl() is not { } url)
            return;

        var logger = services.GetRequiredService<ILogger<DistributedApplication>>();
        LogListening(logger, url);
        if (services.GetRequiredService<DashboardOptions>().BrowserToken is { } token)
            LogLogin(logger, $"{url}/login?t={token}");
    }

    [LoggerMessage(0, LogLevel.Information, "Now listening on: {DashboardUrl}")]
    private static partial void LogListening(ILogger logger, string dashboardUrl);

    [LoggerMessage(0, LogLevel.Information, "Login to the dashboard at {DashboardLoginUrl}")]
    private static partial void LogLogin(ILogger logger, string dashboardLoginUrl);
}

/// <summary>Healthy when the dashboard answers.</summary>
internal sealed class DashboardHealthCheck(DistributedApplicationModel model) : IHealthCheck
{
    private static readonly HttpClient Client = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false,
        // It is this machine's own dashboard, whose development certificate may not be trusted; nothing is sent that matters.
        SslOptions = { RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is not null },
    });

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        if (model.FindDashboard()?.DashboardUrl() is not { } url)
            return HealthCheckResult.Unhealthy("The dashboard has no address yet.");

        try
        {
            using var response = await Client.GetAsync(url, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            return HealthCheckResult.Healthy();
        }
        catch (HttpRequestException exception)
        {
            return HealthCheckResult.Unhealthy("The dashboard does not answer.", exception);
        }
    }
}
