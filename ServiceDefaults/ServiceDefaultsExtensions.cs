using System.Diagnostics;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Configuration.Memory;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Health;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Problems;
using Platform.ServiceDefaults.Security;

namespace Platform.ServiceDefaults;

/// <summary>The defaults of every service: three calls in <c>Program.cs</c>.</summary>
public static class ServiceDefaultsExtensions
{
    /// <summary>
    /// Adds telemetry, service discovery, resilience on every <see cref="HttpClient"/>, health, problem details, strict JSON,
    /// request time-outs, OpenAPI, correlation, the internal token, and a shutdown within 4 s.
    /// </summary>
    public static TBuilder AddServiceDefaults<TBuilder>(this TBuilder builder) where TBuilder : IHostApplicationBuilder
    {
        AddConfigurationDefaults(builder);
        builder.AddTelemetry();
        var services = builder.Services;
        services.TryAddSingleton(TimeProvider.System);

        AddOptions<RequestOptions>(builder, "Requests");
        AddOptions<ShutdownOptions>(builder, "Shutdown");
        AddOptions<AdmissionOptions>(builder, "Admission");
        services.AddAdmission();
        services.AddSingleton<InternalTokens>();
        services.AddSingleton<WrongKeys>();
        services.RequireSecret(
            configuration => ConfiguredSecret.IsIn(configuration, InternalTokens.ConfigurationKey),
            "InternalToken is missing: set it to the same secret in every service.");
        services.AddSingleton<DistributedContextPropagator, TrustedCallersPropagator>();
        services.AddHttpClientDefaults();

        services.AddSingleton<Readiness>();
        services.AddHealthChecks();
        services.AddSingleton<HealthReports>();
        services.AddHostedService<DrainOnStop>();
        services.Configure<HostOptions>(options =>
        {
            // The service must be gone within 4 s, and Kestrel takes up to a second more to abort connections.
            options.ShutdownTimeout = TimeSpan.FromSeconds(2.5);
            options.ServicesStopConcurrently = true;
        });

        services.AddExceptionHandler<ExceptionProblems>();
        services.AddSingleton<IProblemDetailsWriter, AnyClientProblemWriter>();
        services.AddProblemDetails(options => options.CustomizeProblemDetails = ExceptionProblems.Complete);
        services.ConfigureHttpJsonOptions(options => PlatformJson.ConfigureStrict(options.SerializerOptions));
        services.Configure<RouteHandlerOptions>(options => options.ThrowOnBadRequest = true);
        services.AddOptions<KestrelServerOptions>().Configure<IOptions<RequestOptions>>((kestrel, requests) =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = requests.Value.MaxBodySize;
        });
        services.AddApiDescription();
        return builder;
    }

    /// <summary>
    /// Adds the middleware, outermost first: routing, correlation, the caller's trace, problems, HEAD and OPTIONS, readiness and drain, authentication (if the service has any),
    /// admission, internal token, authorization (likewise), body encoding and size, deadline, then the checks of route, query and body.
    /// </summary>
    /// <exception cref="OptionsValidationException">A secret is missing, outside of Development.</exception>
    public static WebApplication UseServiceDefaults(this WebApplication app)
    {
        // Resolved now, so that a missing secret fails the start.
        _ = app.Services.GetRequiredService<IOptions<RequiredSecrets>>().Value;
        _ = app.Services.GetRequiredService<InternalTokens>();
        var knowsCallers = app.Services.GetService<IAuthenticationSchemeProvider>() is not null;
        app.Use(HeadAndOptions.RouteHeadAsGetAsync);
        app.UseRouting();
        app.UseMiddleware<CorrelationMiddleware>();
        app.UseMiddleware<CallerTraceMiddleware>();
        app.UseExceptionHandler();
        app.UseStatusCodePages();
        app.Use(HeadAndOptions.AnswerAsync);
        app.UseMiddleware<DrainMiddleware>();
        if (knowsCallers)
        {
            // Before admission, which limits authenticated callers by name instead of address.
            app.UseAuthentication();
        }

        // Before the token check, so that guessing tokens is rate-limited. Admission recognises internal callers itself.
        app.UseMiddleware<AdmissionMiddleware>();
        app.UseMiddleware<InternalTokenMiddleware>();
        if (knowsCallers)
        {
            app.UseAuthorization();
        }

        app.UseMiddleware<RequestBodyMiddleware>();
        app.UseMiddleware<RequestDeadlineMiddleware>();
        app.UseMiddleware<EndpointMiddlewareRunner>();
        app.UseMiddleware<RequestChecks>();
        return app;
    }

    /// <summary>Maps <c>/alive</c>, <c>/ready</c>, <c>/health</c>, <c>/metrics</c> and <c>/openapi/v1.json</c>.</summary>
    public static WebApplication MapDefaultEndpoints(this WebApplication app)
    {
        app.MapHealth();
        app.MapOpenApi("/openapi/{documentName}.json").AvailableBeforeReady().AllowAnonymous();
        return app;
    }

    // Lowest precedence: appsettings, environment and command line override them.
    private static void AddConfigurationDefaults(IHostApplicationBuilder builder)
    {
        var defaults = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase)
        {
            // Calls are traced as spans. Two more lines per call, on both sides, would only hide what matters.
            ["Logging:LogLevel:Default"] = "Information",
            ["Logging:LogLevel:Microsoft.AspNetCore"] = "Warning",
            ["Logging:LogLevel:System.Net.Http.HttpClient"] = "Warning",
            ["Logging:LogLevel:Polly"] = "Warning",
            // It logs an error for each poll of /health while something is down. Breakers already log the change.
            ["Logging:LogLevel:Microsoft.Extensions.Diagnostics.HealthChecks"] = "None",
            ["Logging:Console:FormatterName"] = builder.Environment.IsDevelopment() ? "simple" : "json",
            ["Logging:Console:FormatterOptions:SingleLine"] = "true",
            ["Logging:Console:FormatterOptions:UseUtcTimestamp"] = "true",
            ["Logging:Console:FormatterOptions:TimestampFormat"] = builder.Environment.IsDevelopment() ? "HH:mm:ss.fff " : "yyyy-MM-ddTHH:mm:ss.fffZ",
        };
        if (builder.Environment.IsDevelopment())
        {
            defaults["Shutdown:DrainDelay"] = "00:00:00";
        }
        else
        {
            defaults["Logging:Console:FormatterOptions:IncludeScopes"] = "true";
        }

        builder.Configuration.Sources.Insert(0, new MemoryConfigurationSource { InitialData = defaults });
    }

    private static void AddOptions<TOptions>(IHostApplicationBuilder builder, string section) where TOptions : class =>
        builder.Services.AddOptions<TOptions>().Bind(builder.Configuration.GetSection(section)).ValidateDataAnnotations().ValidateOnStart();
}
