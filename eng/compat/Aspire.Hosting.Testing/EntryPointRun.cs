using System.Reflection;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Aspire.Hosting.Testing;

/// <summary>What is different under test: random ports, no dashboard, the AppHost's own folder and launch profile.</summary>
internal class TestDefaults(Assembly appHost, string[] args, Action<DistributedApplicationOptions, HostApplicationBuilderSettings> configureBuilder) : BuilderObserver
{
    protected string[] Arguments { get; } = args;

    public override void Constructing(DistributedApplicationOptions options, HostApplicationBuilderSettings settings)
    {
        settings.Args ??= Arguments;
        options.Args = settings.Args;
        options.DisableDashboard = true;
        options.AssemblyName = settings.ApplicationName = appHost.GetName().Name;
        settings.Configuration ??= new ConfigurationManager();
        var given = new ConfigurationManager();
        given.AddCommandLine(settings.Args).AddConfiguration(settings.Configuration);
        var defaults = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase)
        {
            ["DcpPublisher:RandomizePorts"] = "true",
            ["ASPNETCORE_URLS"] = "http://localhost:8080",
            ["ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL"] = "http://localhost:4317",
        };
        if (Directory.Exists(options.ProjectDirectory))
            settings.ContentRootPath = options.ProjectDirectory;
        settings.Configuration.AddInMemoryCollection(defaults.Where(d => given[d.Key] is null).ToList());

        configureBuilder(options, settings);

        // The command line comes last, so that variables of the test's own process don't stand above the AppHost's profile.
        given = new ConfigurationManager();
        given.AddCommandLine(settings.Args ?? []).AddConfiguration(settings.Configuration);
        settings.Args = [.. settings.Args ?? [], .. LaunchProfileOf(options.ProjectDirectory, given["DOTNET_LAUNCH_PROFILE"]).Where(v => given[v.Key] is null).Select(v => $"--{v.Key}={v.Value}")];
    }

    public override void Constructed(IDistributedApplicationBuilder builder)
    {
    }

    public override void Building(IDistributedApplicationBuilder builder)
    {
    }

    public override void Built(DistributedApplication application)
    {
    }

    private static Dictionary<string, string> LaunchProfileOf(string directory, string? name)
    {
        var variables = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        var file = Path.Combine(directory, "Properties", "launchSettings.json");
        if (!File.Exists(file))
            return variables;
        using var json = JsonDocument.Parse(File.ReadAllText(file), new JsonDocumentOptions { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip });
        if (!json.RootElement.TryGetProperty("profiles", out var profiles))
            return variables;
        var profile = profiles.EnumerateObject().FirstOrDefault(p => string.IsNullOrEmpty(name) || p.Name == name);
        if (profile.Value.ValueKind != JsonValueKind.Object)
            return string.IsNullOrEmpty(name) ? variables : throw new InvalidOperationException($"The configured launch profile, '{name}', was not found in the launch settings file.");
        variables["DOTNET_LAUNCH_PROFILE"] = profile.Name;
        if (!profile.Value.TryGetProperty("environmentVariables", out var given))
            return variables;
        foreach (var variable in given.EnumerateObject())
        {
            variables[variable.Name] = variable.Value.GetString() ?? "";
            foreach (var prefix in new[] { "DOTNET_", "ASPNETCORE_" })
            {
                if (variable.Name.StartsWith(prefix, StringComparison.OrdinalIgnoreCase))
                    variables.TryAdd(variable.Name[prefix.Length..], variable.Value.GetString() ?? "");
            }
        }

        return variables;
    }
}

/// <summary>One run of an AppHost's program on a thread of its own, held at the points where the test takes over.</summary>
internal sealed class EntryPointRun(Type entryPoint, string[] args, Action<DistributedApplicationOptions, HostApplicationBuilderSettings> configureBuilder)
    : TestDefaults(entryPoint.Assembly, args, configureBuilder), IAsyncDisposable
{
    private static readonly TimeSpan ExitTimeout = TimeSpan.FromSeconds(15);
    private readonly TaskCompletionSource<IDistributedApplicationBuilder> _building = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _build = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<DistributedApplication> _built = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _start = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<IDistributedApplicationBuilder> WaitForBuilderAsync(CancellationToken cancellationToken)
    {
        var main = entryPoint.Assembly.EntryPoint ?? throw new InvalidOperationException($"The assembly '{entryPoint.Assembly}' does not have an entry point.");
        new Thread(() => Execute(main)) { IsBackground = true, Name = "AppHost" }.Start();
        return _building.Task.WaitAsync(cancellationToken);
    }

    public async Task<DistributedApplication> BuildAsync(CancellationToken cancellationToken)
    {
        _build.TrySetResult();
        var application = await _built.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        return new DistributedApplication(new HeldHost(application, this));
    }

    public override void Building(IDistributedApplicationBuilder builder)
    {
        builder.Services.AddHostedService<ResourceLogForwarder>();
        _building.TrySetResult(builder);
        _build.Task.GetAwaiter().GetResult();
    }

    public override void Built(DistributedApplication application)
    {
        application.StartGate = _start.Task;
        _built.TrySetResult(application);
    }

    public async ValueTask DisposeAsync()
    {
        // a program that is still held is let go with an exception, so that it ends
        var abandoned = new OperationCanceledException("The test ended before it started the application.");
        _build.TrySetException(abandoned);
        _start.TrySetException(abandoned);
        await Task.WhenAny(_exited.Task, Task.Delay(ExitTimeout)).ConfigureAwait(false);
    }

    private void Execute(MethodInfo main)
    {
        Current.Value = this;
        try
        {
            var result = main.Invoke(null, main.GetParameters().Length == 0 ? [] : [Arguments]);
            if (result is Task task)
                task.GetAwaiter().GetResult();
            Fail(new InvalidOperationException("The entry point exited before the application had started."));
        }
#pragma warning disable CA1031 // the test gets it
        catch (Exception e)
#pragma warning restore CA1031
        {
            Fail(e is TargetInvocationException { InnerException: { } inner } ? inner : e);
        }
        finally
        {
            _exited.TrySetResult();
        }

        void Fail(Exception e)
        {
            _building.TrySetException(e);
            _built.TrySetException(e);
            _failed.TrySetException(e);
        }
    }

    /// <summary>The application as the test sees it: its start lets the program start, its end waits for the program's.</summary>
    private sealed class HeldHost(DistributedApplication application, EntryPointRun run) : IHost, IAsyncDisposable
    {
        public IServiceProvider Services { get; } = application.Services;

        private readonly IHostApplicationLifetime _lifetime = application.Services.GetRequiredService<IHostApplicationLifetime>();

        public async Task StartAsync(CancellationToken cancellationToken = default)
        {
            run._start.TrySetResult();
            var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            using var registration = _lifetime.ApplicationStarted.Register(() => started.TrySetResult());
            var first = await Task.WhenAny(started.Task, run._failed.Task).WaitAsync(cancellationToken).ConfigureAwait(false);
            await first.ConfigureAwait(false);
        }

        public async Task StopAsync(CancellationToken cancellationToken = default)
        {
            _lifetime.StopApplication();
            await run._exited.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        public async ValueTask DisposeAsync()
        {
            if (run._start.Task.IsCompletedSuccessfully)
                _lifetime.StopApplication();
            await run.DisposeAsync().ConfigureAwait(false);
            await application.DisposeAsync().ConfigureAwait(false);
        }

        public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();
    }
}
