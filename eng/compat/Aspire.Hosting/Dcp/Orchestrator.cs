using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Eventing;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Dcp;

/// <summary>Brings the model to life on DCP, and what DCP tells of it back into the model's notifications and logs.</summary>
internal sealed class Orchestrator(
    DistributedApplicationModel model,
    DistributedApplicationExecutionContext executionContext,
    DistributedApplicationOptions applicationOptions,
    DcpOptions options,
    DcpServer dcp,
    ResourceNotificationService notifications,
    ResourceLoggerService loggers,
    ResourceHealth health,
    IDistributedApplicationEventing eventing,
    IServiceProvider services,
    ILogger<Orchestrator> logger) : IDisposable
{
    private const string Executables = "executables";
    private const string Containers = "containers";
    private const string ServiceProducer = "service-producer";
    private const string ResourceName = "resource-name";

    private readonly CancellationTokenSource _stopping = new();
    private readonly ConcurrentDictionary<string, Instance> _instances = new(StringComparer.OrdinalIgnoreCase);
    private readonly ConcurrentDictionary<string, Task> _logStreams = new(StringComparer.Ordinal);

    // what DCP still tells of the end may come when this is disposed of already
    private CancellationToken StopToken => _stopping.IsCancellationRequested ? new CancellationToken(canceled: true) : _stopping.Token;

    /// <summary>Starts everything; returns when each process was started or could not be.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, StopToken);
        var ct = either.Token;
        CheckFixedPorts();
        var dcpStarted = dcp.StartAsync(ct);

        var resources = model.Resources.ToList();
        foreach (var resource in resources.Where(r => r.IsRunByDcp()))
            Prepare(resource);
        foreach (var resource in resources)
            await notifications.PublishUpdateAsync(resource, s => s with { Relationships = resource.Relationships(), Properties = resource is IResourceWithParent child ? Set(s.Properties, new ResourcePropertySnapshot(KnownProperties.ParentName, child.Parent.Name)) : s.Properties }).ConfigureAwait(false);
        health.Start(StopToken);
        foreach (var resource in resources)
            Run(resource, () => eventing.PublishAsync(new InitializeResourceEvent(resource, eventing, loggers, notifications, services), ct));
        foreach (var parameter in resources.OfType<ParameterResource>())
            Run(parameter, () => PublishAsync(parameter, ct));

        await dcpStarted.ConfigureAwait(false);
        _ = WatchAsync(Executables);
        if (resources.OfType<ContainerResource>().Any())
            _ = WatchAsync(Containers);
        await AllocateEndpointsAsync(resources, ct).ConfigureAwait(false);
        await Task.WhenAll(resources.Where(r => r.IsRunByDcp()).Select(r => StartResourceAsync(r, r.GetInstanceNames(), ct))).ConfigureAwait(false);
        ct.ThrowIfCancellationRequested();
        await eventing.PublishAsync(new AfterResourcesCreatedEvent(services, model), ct).ConfigureAwait(false);
    }

    public async Task StopAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await dcp.StopAsync().ConfigureAwait(false);
    }

    public void Dispose() => _stopping.Dispose();

    /// <summary>Starts an instance that has ended, with its configuration evaluated anew; it keeps its address.</summary>
    /// <exception cref="DistributedApplicationException">It could not be started.</exception>
    public async Task StartInstanceAsync(string name, CancellationToken cancellationToken)
    {
        var instance = _instances[name];
        await instance.Changing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (notifications.TryGetCurrentState(name, out var current) && current.Snapshot.State?.Text is { } state
                && (state == KnownResourceStates.Running || state == KnownResourceStates.Starting || state == KnownResourceStates.Waiting))
            {
                return;
            }

            // DCP may yet tell how the old one ended, and that is not the new one's state
            instance.ReplacedUid = instance.Uid;
            await dcp.DeleteAsync(instance.Plural, name, cancellationToken).ConfigureAwait(false);
            await notifications.PublishUpdateAsync(instance.Resource, name, s => s with { State = KnownResourceStates.Starting, ExitCode = null, StartTimeStamp = null, StopTimeStamp = null }).ConfigureAwait(false);
            await StartResourceAsync(instance.Resource, [name], cancellationToken).ConfigureAwait(false);
            if (notifications.TryGetCurrentState(name, out current) && current.Snapshot.State?.Text == KnownResourceStates.FailedToStart)
                throw new DistributedApplicationException($"Resource '{name}' failed to start; its console log says why.");
        }
        finally
        {
            instance.Changing.Release();
        }
    }

    /// <summary>Ends an instance, gracefully first; returns when it has ended.</summary>
    public async Task StopInstanceAsync(string name, CancellationToken cancellationToken)
    {
        var instance = _instances[name];
        await instance.Changing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (notifications.TryGetCurrentState(name, out var current) && IsEnded(current.Snapshot))
                return;
            await notifications.PublishUpdateAsync(instance.Resource, name, s => s with { State = KnownResourceStates.Stopping }).ConfigureAwait(false);
            await dcp.RequestStopAsync(instance.Plural, name, cancellationToken).ConfigureAwait(false);
            await notifications.WaitForResourceAsync(name, e => e.ResourceId == name && IsEnded(e.Snapshot), cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            instance.Changing.Release();
        }
    }

    private static bool IsEnded(CustomResourceSnapshot snapshot) => snapshot.State is { } state && KnownResourceStates.TerminalStates.Contains(state.Text);

    /// <summary>Says so at once when a port that was asked for is taken; DCP would wait for it without a word.</summary>
    private void CheckFixedPorts()
    {
        foreach (var resource in model.Resources.Where(r => r.IsRunByDcp()))
        {
            foreach (var endpoint in resource.Annotations.OfType<EndpointAnnotation>().Where(e => e.Protocol == ProtocolType.Tcp && !(options.RandomizePorts && e.IsProxied)))
            {
                if (endpoint.Port is not { } port)
                    continue;
                try
                {
                    using var listener = new TcpListener(IPAddress.Loopback, port);
                    listener.Start();
                }
                catch (SocketException e) when (e.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
                {
                    var problem = e.SocketErrorCode == SocketError.AccessDenied ? "may not be used by this user" : "is already in use by another program";
                    throw new DistributedApplicationException($"Port {port}, which '{resource.Name}' asks for, {problem}.", e);
                }
            }
        }
    }

    /// <summary>Names the instances, and adds what can be done with them.</summary>
    private void Prepare(IResource resource)
    {
        var names = Enumerable.Range(0, resource.GetReplicaCount())
            .Select(_ => $"{resource.Name.ToLowerInvariant()}-{RandomNumberGenerator.GetString("abcdefghjkmnpqrstuvwxyz", 8)}").ToArray();
        resource.Annotations.Add(new InstancesAnnotation(names));
        foreach (var name in names)
            _instances[name] = new Instance(resource, resource is ContainerResource ? Containers : Executables);
        LifecycleCommands.AddTo(resource, this);
    }

    private async Task AllocateEndpointsAsync(List<IResource> resources, CancellationToken cancellationToken)
    {
        var endpoints = (
            from resource in resources
            where resource.IsRunByDcp()
            from endpoint in resource.Annotations.OfType<EndpointAnnotation>()
            select (Resource: resource, Endpoint: endpoint, Service: ServiceName(resource, endpoint))).ToList();

        foreach (var (resource, endpoint, service) in endpoints.Where(e => !e.Endpoint.IsProxied))
        {
            var port = endpoint.Port ?? throw new DistributedApplicationException($"The endpoint '{endpoint.Name}' of '{resource.Name}' has neither a proxy nor a port.");
            endpoint.AllocatedEndpoint = new AllocatedEndpoint(endpoint, endpoint.TargetHost, port, (endpoint.TargetPort ?? port).ToString(CultureInfo.InvariantCulture));
            await dcp.CreateAsync("Service", "services", service, [], new JsonObject { ["port"] = port, ["protocol"] = "TCP", ["address"] = endpoint.TargetHost, ["addressAllocationMode"] = "Proxyless" }, cancellationToken).ConfigureAwait(false);
        }

        var waiting = endpoints.Where(e => e.Endpoint.IsProxied).ToDictionary(e => e.Service, StringComparer.Ordinal);
        if (waiting.Count > 0)
        {
            var created = Task.WhenAll(waiting.Values.Select(e =>
            {
                var spec = new JsonObject { ["protocol"] = e.Endpoint.Protocol.ToString().ToUpperInvariant(), ["address"] = e.Endpoint.TargetHost };
                if (e.Endpoint.Port is { } port && !options.RandomizePorts)
                    spec["port"] = port;
                return dcp.CreateAsync("Service", "services", e.Service, [], spec, cancellationToken);
            }));
            await foreach (var (_, service) in dcp.WatchAsync("services", cancellationToken).ConfigureAwait(false))
            {
                var name = service.GetProperty("metadata").GetProperty("name").GetString()!;
                if (!waiting.TryGetValue(name, out var found) || !service.TryGetProperty("status", out var status) || !status.TryGetProperty("effectivePort", out var port) || port.GetInt32() == 0)
                    continue;
                waiting.Remove(name);
                found.Endpoint.AllocatedEndpoint = new AllocatedEndpoint(
                    found.Endpoint, found.Endpoint.TargetHost, port.GetInt32(), found.Endpoint.TargetPort?.ToString(CultureInfo.InvariantCulture) ?? $"{{{{- portForServing \"{name}\" -}}}}");
                if (waiting.Count == 0)
                    break;
            }

            await created.ConfigureAwait(false);
        }

        foreach (var resource in endpoints.Select(e => e.Resource).Distinct())
            await eventing.PublishAsync(new ResourceEndpointsAllocatedEvent(resource, services), cancellationToken).ConfigureAwait(false);
#pragma warning disable CS0618 // who still listens to it is told
        await eventing.PublishAsync(new AfterEndpointsAllocatedEvent(services, model), cancellationToken).ConfigureAwait(false);
#pragma warning restore CS0618
        foreach (var resource in resources)
        {
            var urls = await UrlsAsync(resource, cancellationToken).ConfigureAwait(false);
            if (!urls.IsEmpty)
                await notifications.PublishUpdateAsync(resource, s => s with { Urls = urls }).ConfigureAwait(false);
        }

        foreach (var resource in resources.Where(r => r.IsRunByDcp()))
            await PublishConnectionStringAsync(resource, cancellationToken).ConfigureAwait(false);
    }

    private static async Task<ImmutableArray<UrlSnapshot>> UrlsAsync(IResource resource, CancellationToken cancellationToken)
    {
        var owner = resource as IResourceWithEndpoints;
        var urls = resource.Annotations.OfType<EndpointAnnotation>().Where(e => e.AllocatedEndpoint is not null)
            .Select(e => new ResourceUrlAnnotation { Url = e.AllocatedEndpoint!.UriString, Endpoint = new EndpointReference(owner!, e) })
            .Concat(resource.Annotations.OfType<ResourceUrlAnnotation>()).ToList();
        foreach (var callback in resource.Annotations.OfType<ResourceUrlsCallbackAnnotation>())
            await callback.Callback(owner, urls, cancellationToken).ConfigureAwait(false);
        return [.. urls.Select(u => new UrlSnapshot(u.Endpoint?.EndpointName, u.Url, IsInternal: false) { DisplayName = u.DisplayText ?? "", SortOrder = u.DisplayOrder ?? 0, IsInactive = resource.IsRunByDcp() })];
    }

    private async Task PublishConnectionStringAsync(IResource resource, CancellationToken cancellationToken)
    {
        if (resource is IResourceWithConnectionString)
            await eventing.PublishAsync(new ConnectionStringAvailableEvent(resource, services), cancellationToken).ConfigureAwait(false);
        foreach (var child in ChildrenOf(resource))
            await PublishConnectionStringAsync(child, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Those that live and die with the resource, such as a database with its server.</summary>
    private IEnumerable<IResource> ChildrenOf(IResource resource) =>
        model.Resources.Where(r => r is IResourceWithParent child && ReferenceEquals(child.Parent, resource) && !r.IsRunByDcp());

    private async Task PublishAsync(ParameterResource parameter, CancellationToken cancellationToken)
    {
        try
        {
            var value = await parameter.GetValueAsync(cancellationToken).ConfigureAwait(false);
            await notifications.PublishUpdateAsync(parameter, s => s with
            {
                State = KnownResourceStates.Running,
                Properties = Set(s.Properties, new ResourcePropertySnapshot(KnownProperties.ParameterValue, value) { IsSensitive = parameter.Secret }, new ResourcePropertySnapshot(KnownProperties.Source, parameter.ConfigurationKey)),
            }).ConfigureAwait(false);
            await PublishConnectionStringAsync(parameter, cancellationToken).ConfigureAwait(false);
        }
        catch (MissingParameterValueException e)
        {
            loggers.GetLogger(parameter).LogError("{Message}", e.Message);
            await notifications.PublishUpdateAsync(parameter, s => s with { State = new ResourceStateSnapshot(KnownResourceStates.ValueMissing, "error") }).ConfigureAwait(false);
        }
    }

    private async Task StartResourceAsync(IResource resource, IReadOnlyList<string> instances, CancellationToken cancellationToken)
    {
        try
        {
            await notifications.WaitForDependenciesAsync(resource, cancellationToken).ConfigureAwait(false);
            await eventing.PublishAsync(new BeforeResourceStartedEvent(resource, services), cancellationToken).ConfigureAwait(false);
            foreach (var instance in instances)
                await notifications.PublishUpdateAsync(resource, instance, s => s with { State = KnownResourceStates.Starting }).ConfigureAwait(false);
            await Task.WhenAll(instances.Select(i => CreateAsync(resource, i, cancellationToken))).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // the application stops
        }
#pragma warning disable CA1031 // one resource that fails does not take the others along; its state and log say so
        catch (Exception e)
#pragma warning restore CA1031
        {
            foreach (var instance in instances)
            {
                if (e is DistributedApplicationException)
                    loggers.GetLogger(instance).LogError("{Message}", e.Message);
                else
                    loggers.GetLogger(instance).LogError(e, "Failed to start.");
                await notifications.PublishUpdateAsync(resource, instance, s => s with { State = new ResourceStateSnapshot(KnownResourceStates.FailedToStart, "error") }).ConfigureAwait(false);
            }

            logger.LogError("Resource '{Name}' failed to start: {Message}", resource.Name, e.Message);
        }
    }

    private async Task CreateAsync(IResource resource, string instance, CancellationToken cancellationToken)
    {
        var log = loggers.GetLogger(instance);
        var configuration = await ResourceConfiguration.EvaluateAsync(resource, executionContext, log, cancellationToken).ConfigureAwait(false);
        _instances[instance].Secrets = configuration.Secrets;
        var producers = new JsonArray([.. resource.Annotations.OfType<EndpointAnnotation>().Select(e =>
        {
            var producer = new JsonObject { ["serviceName"] = ServiceName(resource, e), ["address"] = e.TargetHost };
            if (e.TargetPort is { } port)
                producer["port"] = port;
            return producer;
        })]);
        var annotations = new JsonObject
        {
            [ResourceName] = resource.Name,
            ["otel-service-name"] = resource.Name,
            ["otel-service-instance-id"] = instance[(resource.Name.Length + 1)..],
        };
        if (producers.Count > 0)
            annotations[ServiceProducer] = producers.ToJsonString();
        var spec = new JsonObject
        {
            ["env"] = new JsonArray([.. configuration.Environment.Select(e => new JsonObject { ["name"] = e.Key, ["value"] = e.Value })]),
        };
        var args = configuration.Arguments;
        if (resource is ContainerResource container)
        {
            DescribeContainer(container, spec);
            spec["args"] = Array(args);
            await dcp.CreateAsync("Container", Containers, instance, annotations, spec, cancellationToken).ConfigureAwait(false);
            return;
        }

        var (path, workingDirectory, first) = resource switch
        {
            ProjectResource project => ProjectCommand(project),
            ExecutableResource executable => (executable.Command, executable.WorkingDirectory, []),
            _ => throw new InvalidOperationException($"'{resource.Name}' is not run by DCP."),
        };
        if (!Directory.Exists(workingDirectory))
            throw new DistributedApplicationException($"The working directory '{workingDirectory}' of '{resource.Name}' does not exist.");
        spec["executablePath"] = path.Contains('/', StringComparison.Ordinal) ? Path.GetFullPath(path, workingDirectory) : path;
        spec["workingDirectory"] = workingDirectory;
        spec["executionType"] = "Process";
        spec["args"] = Array([.. first, .. args]);
        spec["ambientEnvironment"] = new JsonObject { ["behavior"] = "Inherit" };
        await dcp.CreateAsync("Executable", Executables, instance, annotations, spec, cancellationToken).ConfigureAwait(false);

        static JsonArray Array(IEnumerable<string> values) => new([.. values.Select(v => JsonValue.Create(v))]);
    }

    private static void DescribeContainer(ContainerResource container, JsonObject spec)
    {
        if (!container.TryGetContainerImageName(out var image))
            throw new DistributedApplicationException($"The container '{container.Name}' has no image.");
        spec["image"] = image;
        if (container.Entrypoint is not null)
            spec["command"] = container.Entrypoint;
        spec["ports"] = new JsonArray([.. container.Annotations.OfType<EndpointAnnotation>().Where(e => e.TargetPort is not null).Select(e =>
        {
            var port = new JsonObject { ["containerPort"] = e.TargetPort };
            if (!e.IsProxied)
                port["hostPort"] = e.Port;
            return port;
        })]);
        spec["volumeMounts"] = new JsonArray([.. container.Annotations.OfType<ContainerMountAnnotation>().Select(m => new JsonObject
        {
            ["type"] = m.Type is ContainerMountType.Volume ? "volume" : "bind",
            ["source"] = m.Source,
            ["target"] = m.Target,
            ["readOnly"] = m.IsReadOnly,
        })]);
    }

    /// <summary>The project's build output run by this process's own .NET: there is nothing left to evaluate or build.</summary>
    private (string Path, string WorkingDirectory, string[] Arguments) ProjectCommand(ProjectResource project)
    {
        if (!project.TryGetLastAnnotation<IProjectMetadata>(out var metadata))
            throw new DistributedApplicationException($"The project of '{project.Name}' is not known.");
        var directory = Path.GetDirectoryName(metadata.ProjectPath)!;
        if (!File.Exists(metadata.ProjectPath))
            throw new DistributedApplicationException($"The project '{metadata.ProjectPath}' of '{project.Name}' does not exist.");
        var dotnet = Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));
        if (!File.Exists(dotnet))
            dotnet = "dotnet";
        var output = applicationOptions.Assembly?.GetCustomAttributes<AssemblyMetadataAttribute>().FirstOrDefault(a => a.Key == $"projectoutput:{metadata.ProjectPath}")?.Value;
        if (output is null)
            return (dotnet, directory, ["run", "--project", metadata.ProjectPath, "--no-launch-profile"]);
        if (!File.Exists(output))
            throw new DistributedApplicationException($"'{project.Name}' is not built ('{output}' does not exist): build the AppHost first.");
        return (dotnet, directory, ["exec", output]);
    }

    private static string ServiceName(IResource resource, EndpointAnnotation endpoint) => $"{resource.Name}-{endpoint.Name}".ToLowerInvariant().Replace('_', '-');

    private async Task WatchAsync(string plural)
    {
        try
        {
            await foreach (var (type, item) in dcp.WatchAsync(plural, StopToken).ConfigureAwait(false))
            {
                var metadata = item.GetProperty("metadata");
                var name = metadata.GetProperty("name").GetString()!;
                var uid = metadata.GetProperty("uid").GetString()!;
                if (type == "DELETED" || !_instances.TryGetValue(name, out var instance) || uid == instance.ReplacedUid || !item.TryGetProperty("status", out var status))
                    continue;
                await UpdateAsync(instance, name, uid, item.GetProperty("spec"), status).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // the application stops
        }
        catch (HttpRequestException e) when (!_stopping.IsCancellationRequested)
        {
            logger.LogError("Lost the connection to DCP: {Message}", e.Message);
        }
    }

    private async Task UpdateAsync(Instance instance, string name, string uid, JsonElement spec, JsonElement status)
    {
        var state = Text(status, "state") switch
        {
            null or "" => null,
            "Terminated" => KnownResourceStates.Exited,
            "Pending" or "Building" => KnownResourceStates.Starting,
            var other => other,
        };
        if (state is null)
            return;

        if (state == KnownResourceStates.Running || KnownResourceStates.TerminalStates.Contains(state))
            _ = _logStreams.GetOrAdd(uid, _ => Task.WhenAll(StreamLogAsync(instance, name, "stdout"), StreamLogAsync(instance, name, "stderr")));

        var hadEnded = notifications.TryGetCurrentState(name, out var before) && IsEnded(before.Snapshot);
        var previousUid = instance.Uid;
        instance.Uid = uid;
        await notifications.PublishUpdateAsync(instance.Resource, name, s => s with
        {
            State = state == KnownResourceStates.Running && s.State?.Text == KnownResourceStates.Stopping ? s.State : new ResourceStateSnapshot(state, state == KnownResourceStates.FailedToStart ? "error" : null),
            ExitCode = status.TryGetProperty("exitCode", out var exit) && exit.ValueKind == JsonValueKind.Number ? exit.GetInt32() : null,
            CreationTimeStamp = s.CreationTimeStamp ?? DateTime.UtcNow,
            StartTimeStamp = Time(status, "startupTimestamp"),
            StopTimeStamp = Time(status, "finishTimestamp"),
            Properties = Set(s.Properties, PropertiesOf(instance.Resource, spec, status)),
            EnvironmentVariables = EnvironmentOf(instance, spec, status),
            Urls = [.. s.Urls.Select(u => u with { IsInactive = state != KnownResourceStates.Running })],
        }).ConfigureAwait(false);

        notifications.TryGetCurrentState(name, out var after);
        // as in the real one, of containers only
        foreach (var child in instance.Resource is ContainerResource ? ChildrenOf(instance.Resource) : [])
        {
            await notifications.PublishUpdateAsync(child, s => s with
            {
                State = after!.Snapshot.State,
                StartTimeStamp = after.Snapshot.StartTimeStamp,
                StopTimeStamp = after.Snapshot.StopTimeStamp,
            }).ConfigureAwait(false);
        }

        if (IsEnded(after!.Snapshot) && (!hadEnded || previousUid != uid))
            Run(instance.Resource, () => eventing.PublishAsync(new ResourceStoppedEvent(instance.Resource, services, after), StopToken));
    }

    private static ResourcePropertySnapshot[] PropertiesOf(IResource resource, JsonElement spec, JsonElement status)
    {
        var args = status.TryGetProperty("effectiveArgs", out var effective) ? effective.EnumerateArray().Select(a => a.GetString()!).ToImmutableArray() : [];
        if (resource is ContainerResource)
            return [new(KnownProperties.ContainerImage, Text(spec, "image")), new(KnownProperties.ContainerId, Text(status, "containerId"))];
        var properties = new List<ResourcePropertySnapshot>
        {
            new(KnownProperties.ExecutablePath, Text(spec, "executablePath")),
            new(KnownProperties.ExecutableWorkDir, Text(spec, "workingDirectory")),
            new(KnownProperties.ExecutableArgs, args) { IsSensitive = true },
            new(KnownProperties.ExecutablePid, status.TryGetProperty("pid", out var pid) && pid.ValueKind == JsonValueKind.Number ? pid.GetInt32() : null),
        };
        if (resource.TryGetLastAnnotation<IProjectMetadata>(out var metadata))
        {
            properties.Add(new(KnownProperties.ProjectPath, metadata.ProjectPath));
            if (resource.TryGetLastAnnotation<LaunchProfileAnnotation>(out var profile) && profile.Name is not null)
                properties.Add(new(KnownProperties.ProjectLaunchProfile, profile.Name));
        }

        return [.. properties];
    }

    private static ImmutableArray<EnvironmentVariableSnapshot> EnvironmentOf(Instance instance, JsonElement spec, JsonElement status)
    {
        var ofSpec = Variables(spec, "env").Select(v => v.Name).ToHashSet(StringComparer.Ordinal);
        var effective = Variables(status, "effectiveEnv").ToList();
        return
        [
            .. (effective.Count > 0 ? effective : Variables(spec, "env")).OrderBy(v => v.Name, StringComparer.Ordinal)
                .Select(v => new EnvironmentVariableSnapshot(v.Name, v.Value, ofSpec.Contains(v.Name)) { IsSensitive = instance.Secrets.Contains(v.Name) }),
        ];

        static IEnumerable<(string Name, string? Value)> Variables(JsonElement parent, string property) =>
            parent.TryGetProperty(property, out var list) && list.ValueKind == JsonValueKind.Array
                ? list.EnumerateArray().Select(v => (v.GetProperty("name").GetString()!, Text(v, "value")))
                : [];
    }

    private async Task StreamLogAsync(Instance instance, string name, string source)
    {
        try
        {
            await foreach (var line in dcp.LogsAsync(instance.Plural, name, source, StopToken).ConfigureAwait(false))
                loggers.AddLine(name, line, isError: source == "stderr");
        }
        catch (Exception e) when (e is OperationCanceledException or HttpRequestException)
        {
            // the application stops, or DCP does
        }
    }

    /// <summary>Runs what nobody waits for; it fails into the resource's log.</summary>
    private void Run(IResource resource, Func<Task> action) => _ = Task.Run(async () =>
    {
        try
        {
            await action().ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // the application stops
        }
#pragma warning disable CA1031
        catch (Exception e)
#pragma warning restore CA1031
        {
            loggers.GetLogger(resource).LogError(e, "A handler of the resource's events failed.");
            logger.LogError(e, "A handler of an event of '{Name}' failed.", resource.Name);
        }
    });

    private static ImmutableArray<ResourcePropertySnapshot> Set(ImmutableArray<ResourcePropertySnapshot> properties, params ResourcePropertySnapshot[] changed) =>
        [.. properties.Where(p => changed.All(c => c.Name != p.Name)), .. changed];

    private static string? Text(JsonElement element, string property) =>
        element.TryGetProperty(property, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static DateTime? Time(JsonElement element, string property) =>
        Text(element, property) is { } text && DateTime.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AdjustToUniversal | DateTimeStyles.AssumeUniversal, out var time) ? time : null;

    private sealed class Instance(IResource resource, string plural)
    {
        public IResource Resource { get; } = resource;

        public string Plural { get; } = plural;

        /// <summary>One start or stop at a time.</summary>
        public SemaphoreSlim Changing { get; } = new(1, 1);

        /// <summary>Names of the environment variables that hold a secret.</summary>
        public IReadOnlySet<string> Secrets { get; set; } = ImmutableHashSet<string>.Empty;

        public string? Uid { get; set; }

        /// <summary>The one that it was before it was last started again.</summary>
        public string? ReplacedUid { get; set; }
    }
}
