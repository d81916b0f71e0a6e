using System.Reflection;
using System.Security.Cryptography;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Dashboard;
using Aspire.Hosting.Dcp;
using Aspire.Hosting.Eventing;
using Aspire.Hosting.Pipelines;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

#pragma warning disable ASPIREPIPELINES001, ASPIREPIPELINES004
namespace Aspire.Hosting;

internal sealed class DistributedApplicationBuilder : IDistributedApplicationBuilder
{
    private readonly HostApplicationBuilder _host;

    public DistributedApplicationBuilder(DistributedApplicationOptions options)
    {
        var settings = new HostApplicationBuilderSettings { Args = options.Args };
        var observer = BuilderObserver.Current.Value;
        observer?.Constructing(options, settings);

        AppHostAssembly = options.Assembly;
        AppHostDirectory = options.ProjectDirectory;
        settings.Args = ConfigurationArguments(settings.Args ?? []);
        settings.ApplicationName ??= AppHostAssembly?.GetName().Name;
        settings.ContentRootPath ??= Directory.Exists(AppHostDirectory) ? AppHostDirectory : null;
        settings.Configuration ??= new ConfigurationManager();
        _host = new HostApplicationBuilder(settings);

        var publish = string.Equals(Configuration["AppHost:Operation"], "publish", StringComparison.OrdinalIgnoreCase) || Configuration["Publishing:Publisher"] is not null;
        ExecutionContext = new DistributedApplicationExecutionContext(publish);

        Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["AppHost:Directory"] = AppHostDirectory,
            ["AppHost:ProjectDirectory"] = AppHostDirectory,
            ["AppHost:OtlpApiKey"] = Configuration["AppHost:OtlpApiKey"] ?? Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16)),
        });

        _host.Logging.AddFilter("Microsoft", LogLevel.Warning).AddFilter("System", LogLevel.Warning)
            // failing checks show on the resource, and a failing start is thrown
            .AddFilter("Microsoft.Extensions.Diagnostics.HealthChecks", LogLevel.None).AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        AddServices(options);
        observer?.Constructed(this);
    }

    public ConfigurationManager Configuration => _host.Configuration;

    public string AppHostDirectory { get; }

    public Assembly? AppHostAssembly { get; }

    public IHostEnvironment Environment => _host.Environment;

    public IServiceCollection Services => _host.Services;

    public IDistributedApplicationEventing Eventing { get; } = new DistributedApplicationEventing();

    public DistributedApplicationExecutionContext ExecutionContext { get; }

    public IResourceCollection Resources { get; } = new ResourceCollection([]);

    public IDistributedApplicationPipeline Pipeline { get; } = new DistributedApplicationPipeline();

    public IResourceBuilder<T> AddResource<T>(T resource)
        where T : IResource
    {
        ArgumentNullException.ThrowIfNull(resource);
        if (Resources.FirstOrDefault(r => string.Equals(r.Name, resource.Name, StringComparison.OrdinalIgnoreCase)) is { } existing)
            throw new DistributedApplicationException($"Cannot add resource of type '{resource.GetType()}' with name '{resource.Name}' because resource of type '{existing.GetType()}' with that name already exists. Resource names are case-insensitive.");
        Resources.Add(resource);
        return CreateResourceBuilder(resource);
    }

    public IResourceBuilder<T> CreateResourceBuilder<T>(T resource)
        where T : IResource
    {
        ArgumentNullException.ThrowIfNull(resource);
        return new ResourceBuilder<T>(this, resource);
    }

    public DistributedApplication Build()
    {
        var observer = BuilderObserver.Current.Value;
        observer?.Building(this);
        var application = new DistributedApplication(_host.Build());
        ExecutionContext.Services = application.Services;
        observer?.Built(application);
        return application;
    }

    private void AddServices(DistributedApplicationOptions options)
    {
        Services.AddSingleton(options);
        Services.AddSingleton(ExecutionContext);
        Services.AddSingleton(Eventing);
        Services.AddSingleton(_ => new DistributedApplicationModel(Resources));
        Services.AddSingleton<ResourceLoggerService>();
        Services.AddSingleton<ResourceNotificationService>();
        Services.AddSingleton(s => new ResourceCommandService(
            s.GetRequiredService<ResourceNotificationService>(), s.GetRequiredService<ResourceLoggerService>(), s.GetRequiredService<DistributedApplicationModel>(), s));
        Services.AddSingleton(Pipeline);
        Services.AddSingleton(new PipelineOptions(Configuration["Pipeline:Step"]));
        Services.AddSingleton<IPipelineOutputService>(new PipelineOutputService(Configuration["Pipeline:OutputPath"] ?? Configuration["Publishing:OutputPath"]));
        Services.AddHealthChecks();
        Services.AddHttpClient();

        if (ExecutionContext.IsPublishMode)
        {
            Services.AddSingleton<PipelineRunner>();
            Services.AddHostedService(s => s.GetRequiredService<PipelineRunner>());
            return;
        }

        Services.AddSingleton(s => DcpOptions.From(s.GetRequiredService<IConfiguration>(), AppHostAssembly));
        Services.AddSingleton<DcpServer>();
        Services.AddSingleton<ResourceHealth>();
        Services.AddSingleton<Orchestrator>();
        this.AddDashboard(options);
        Services.AddHostedService<ApplicationRunner>();
        // the dashboard's connection takes a second or two to close, and so do the processes
        Services.Configure<HostOptions>(options => options.ServicesStopConcurrently = true);
    }

    // a switch without a value is not for the configuration
    private static string[] ConfigurationArguments(string[] args)
    {
        var mapped = new List<string>();
        foreach (var arg in args)
        {
            var (name, value) = arg.Split('=', 2) is [var n, var v] ? (n, "=" + v) : (arg, "");
            mapped.Add(name switch
            {
                "--operation" => "--AppHost:Operation" + value,
                "--step" => "--Pipeline:Step" + value,
                "--output-path" => "--Pipeline:OutputPath" + value,
                "--publisher" => "--Publishing:Publisher" + value,
                "--log-level" => "--Pipeline:LogLevel" + value,
                _ => arg,
            });
        }

        return [.. mapped];
    }
}

/// <summary>Lets the testing package see, and change, the builder that an AppHost's entry point makes.</summary>
internal abstract class BuilderObserver
{
    public static AsyncLocal<BuilderObserver?> Current { get; } = new();

    public abstract void Constructing(DistributedApplicationOptions options, HostApplicationBuilderSettings settings);

    public abstract void Constructed(IDistributedApplicationBuilder builder);

    public abstract void Building(IDistributedApplicationBuilder builder);

    public abstract void Built(DistributedApplication application);
}
