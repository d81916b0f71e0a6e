using System.Text.RegularExpressions;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using k8s.Models;
using Platform.AppHost.Running;

#pragma warning disable ASPIREPROBES001

namespace Platform.AppHost.Kubernetes;

/// <summary>A service of the app model. It runs in any number of pods.</summary>
/// <param name="Image">Repository of the image, without registry and tag.</param>
/// <param name="Settings">Environment variables without secrets, ordered by name. They go into a ConfigMap.</param>
/// <param name="Variables">Environment variables that contain a secret, ordered by name.</param>
/// <param name="Calls">The services it calls, and on which port.</param>
/// <param name="Connections">The databases it uses.</param>
/// <param name="Directories">The directories it may write to.</param>
/// <param name="MinReplicas">Replicas set in the app model, or null.</param>
internal sealed partial record PublishedService(
    string Name,
    string Image,
    IReadOnlyList<PublishedPort> Ports,
    IReadOnlyList<string> Arguments,
    IReadOnlyList<PublishedVariable> Settings,
    IReadOnlyList<PublishedVariable> Variables,
    IReadOnlyList<PublishedCall> Calls,
    IReadOnlyList<PublishedConnection> Connections,
    IReadOnlyList<LocalDirectoryAnnotation> Directories,
    IReadOnlyDictionary<ProbeType, V1Probe> Probes,
    int? MinReplicas)
{
    /// <summary>The port for probes and Prometheus.</summary>
    public PublishedPort? Http => Ports.FirstOrDefault(port => port.IsHttp);

    /// <summary>The port that the Ingress forwards to.</summary>
    public PublishedPort? External => Ports.FirstOrDefault(port => port is { IsHttp: true, IsExternal: true });

    public static async Task<PublishedService> ReadAsync(
        ProjectResource project, DistributedApplicationExecutionContext executionContext, CancellationToken cancellationToken)
    {
        var context = new EnvironmentCallbackContext(executionContext, project, cancellationToken: cancellationToken);
        foreach (var annotation in project.Annotations.OfType<EnvironmentCallbackAnnotation>())
            await annotation.Callback(context);
        var directories = project.Annotations.OfType<LocalDirectoryAnnotation>().ToList();
        foreach (var directory in directories)
            context.EnvironmentVariables[directory.EnvironmentVariable] = directory.MountPath;
        context.EnvironmentVariables.TryAdd("OTEL_SERVICE_NAME", project.Name);

        var ports = PublishedPort.Of(project);
        var values = new ValueTranslator(project);
        var variables = new List<PublishedVariable>();
        foreach (var (name, value) in context.EnvironmentVariables.OrderBy(variable => variable.Key, StringComparer.Ordinal))
        {
            if (IsForTls(name, value) || RepeatsConnection(name, value, context.EnvironmentVariables))
                continue;
            if (!VariableName().IsMatch(name))
                throw new DistributedApplicationException($"'{project.Name}' can't be published: '{name}' is not a valid name for an environment variable in Kubernetes.");
            var variable = new PublishedVariable(name, await values.TranslateAsync(name, value, cancellationToken));
            if (!variable.IsSetting && variable.Value.Hosts.Any())
                throw new DistributedApplicationException($"'{project.Name}' can't be published: {name} contains its public host together with a secret or within quotes, where Kustomize can't replace it.");
            if (variable.Value.Parts.Count > 1 && variable.Value.Secrets.Any(secret => secret.IsConnectionString))
                throw new DistributedApplicationException($"'{project.Name}' can't be published: {name} contains a connection string among other text; use the connection string alone.");
            variables.Add(variable);
        }

        var arguments = new List<object>();
        var argumentsContext = new CommandLineArgsCallbackContext(arguments, project, cancellationToken) { ExecutionContext = executionContext };
        foreach (var annotation in project.Annotations.OfType<CommandLineArgsCallbackAnnotation>())
            await annotation.Callback(argumentsContext);
        var texts = new List<string>();
        foreach (var argument in arguments)
        {
            var value = await values.TranslateAsync("an argument", argument, cancellationToken);
            if (value.Secrets.Any() || value.Hosts.Any())
                throw new DistributedApplicationException($"'{project.Name}' can't be published: an argument contains a secret or a public host; use an environment variable instead.");
            texts.Add(value.Expandable);
        }

        return new(
            project.Name,
            ImageOf(project),
            ports,
            texts,
            [.. variables.Where(variable => variable.IsSetting)],
            [.. variables.Where(variable => !variable.IsSetting)],
            [.. values.Calls],
            [.. values.Connections],
            directories,
            ProbesOf(project, ports),
            project.TryGetLastAnnotation<ReplicaAnnotation>(out var replicas) ? replicas.Replicas : null);
    }

    /// <summary>The image name that <c>Directory.Build.targets</c> sets: template-registry for TemplateRegistry.</summary>
    private static string ImageOf(ProjectResource project)
    {
        if (!project.TryGetLastAnnotation<IProjectMetadata>(out var metadata))
            throw new DistributedApplicationException($"'{project.Name}' can't be published: it has no project metadata.");
        return WordStart().Replace(Path.GetFileNameWithoutExtension(metadata.ProjectPath), "${end}-${start}").ToLowerInvariant();
    }

    /// <summary>
    /// The app model's probe of each type, or the default one on an endpoint from ServiceDefaults. Neither a database outage nor a running migration fails
    /// <c>/alive</c>, so neither restarts a pod; <c>/ready</c> keeps requests away until the service can handle them.
    /// </summary>
    private static Dictionary<ProbeType, V1Probe> ProbesOf(ProjectResource project, IReadOnlyList<PublishedPort> ports)
    {
        if (ports.FirstOrDefault(port => port.IsHttp) is not { } http)
            return [];

        var probes = new Dictionary<ProbeType, V1Probe>
        {
            [ProbeType.Startup] = Probe("/alive", http, period: 2, timeout: 2, failures: 30),
            [ProbeType.Liveness] = Probe("/alive", http, period: 10, timeout: 5, failures: 3),
            [ProbeType.Readiness] = Probe("/ready", http, period: 5, timeout: 2, failures: 2),
        };
        foreach (var own in project.Annotations.OfType<EndpointProbeAnnotation>())
            probes[own.Type] = Probe(own.Path, PublishedPort.Of(own.EndpointReference), own.PeriodSeconds, own.TimeoutSeconds, own.FailureThreshold, own.InitialDelaySeconds, own.SuccessThreshold);
        return probes;
    }

    private static V1Probe Probe(string path, PublishedPort port, int period, int timeout, int failures, int initialDelay = 0, int successes = 1) => new()
    {
        HttpGet = new() { Path = path, Port = port.Name },
        InitialDelaySeconds = initialDelay,
        PeriodSeconds = period,
        TimeoutSeconds = timeout,
        FailureThreshold = failures,
        SuccessThreshold = successes,
    };

    // TLS ends at the Ingress. Within the cluster services have no certificate and no https endpoint.
    private static bool IsForTls(string name, object value) =>
        name is "HTTPS_PORTS" or "ASPNETCORE_HTTPS_PORTS" ||
        (name.StartsWith("services__", StringComparison.Ordinal) && value is EndpointReference { IsHttps: true } endpoint && endpoint.Resource.HasHttpEndpoint());

    /// <summary>
    /// True if the variable only repeats a connection string: a part of it, such as the host in BACKEND_DB_HOST, or all of it under a name without hyphens.
    /// The parts are unknown for an external database, and the services read the whole.
    /// </summary>
    private static bool RepeatsConnection(string name, object value, IReadOnlyDictionary<string, object> all) => value switch
    {
        ReferenceExpression part => all.Values.OfType<ConnectionStringReference>().SelectMany(whole => whole.Resource.GetConnectionProperties())
            .Any(property => property.Value.ValueExpression == part.ValueExpression && name.EndsWith($"_{property.Key}", StringComparison.OrdinalIgnoreCase)),
        ConnectionStringReference whole => all.Any(other => other.Value is ConnectionStringReference same && same.Resource == whole.Resource &&
            other.Key != name && other.Key.Replace('-', '_') == name),
        _ => false,
    };

    [GeneratedRegex(@"^[-._a-zA-Z][-._a-zA-Z0-9]*\z", RegexOptions.NonBacktracking)]
    private static partial Regex VariableName();

    [GeneratedRegex("(?<end>[a-z0-9])(?<start>[A-Z])", RegexOptions.NonBacktracking)]
    private static partial Regex WordStart();
}

/// <summary>An environment variable.</summary>
internal sealed record PublishedVariable(string Name, PublishedValue Value)
{
    // A quoted value can't go into a ConfigMap: Kustomize strips the quotes.
    public bool IsSetting => !Value.Secrets.Any() && (Value.Text is not [.., _] text || (text[0] is not ('"' or '\'') && text[^1] is not ('"' or '\'')));
}

/// <summary>A call to another service.</summary>
/// <param name="Port">The port that the pods of the target listen on.</param>
internal sealed record PublishedCall(string Target, int Port);

/// <summary>A connection of a service to a database, or to anything else that has a connection string.</summary>
/// <param name="Name">Name of the resource and of its Secret.</param>
/// <param name="Server">Name of the server, or of the resource if its server isn't in the app model.</param>
/// <param name="Port">Port of the server, or null if it isn't in the app model.</param>
/// <param name="ConnectionString">The connection string to a server in the cluster, or null if the server is always external.</param>
internal sealed record PublishedConnection(string Name, string Server, int? Port, PublishedValue? ConnectionString);

/// <summary>A port of a service.</summary>
/// <param name="ContainerPort">The port that its pods listen on.</param>
/// <param name="ServicePort">The port of its Service: 80 for the first HTTP port, so that <c>http://NAME</c> reaches it.</param>
internal sealed record PublishedPort(string Name, int ContainerPort, int ServicePort, bool IsHttp, bool IsExternal)
{
    private const int DefaultContainerPort = 8080; // of .NET's container images

    public static IReadOnlyList<PublishedPort> Of(IResourceWithEndpoints resource)
    {
        var ports = new List<PublishedPort>();
        var next = DefaultContainerPort;
        var anyHttp = resource.HasHttpEndpoint();
        foreach (var endpoint in resource.Annotations.OfType<EndpointAnnotation>().Where(endpoint => !(anyHttp && endpoint.UriScheme == "https")))
        {
            var isHttp = endpoint.UriScheme is "http" or "https";
            var name = NameOf(endpoint);
            if (name.Length > 15)
                throw new DistributedApplicationException($"'{resource.Name}' can't be published: the name of its endpoint '{endpoint.Name}' is longer than 15 characters, the limit in Kubernetes.");
            var containerPort = endpoint.TargetPort ?? (isHttp ? next++ : throw new DistributedApplicationException(
                $"'{resource.Name}' can't be published: its endpoint '{endpoint.Name}' has no target port."));
            ports.Add(new(name, containerPort, isHttp && !ports.Any(port => port.IsHttp) ? 80 : containerPort, isHttp, endpoint.IsExternal));
        }

        if (ports.Count(port => port is { IsHttp: true, IsExternal: true }) > 1)
            throw new DistributedApplicationException($"'{resource.Name}' can't be published: more than one of its endpoints is external; only one can have the public host.");
        return ports;
    }

    public static PublishedPort Of(EndpointReference endpoint)
    {
        var ports = Of(endpoint.Resource);
        return ports.FirstOrDefault(port => port.Name == NameOf(endpoint.EndpointAnnotation)) ?? ports.First(port => port.IsHttp);
    }

    private static string NameOf(EndpointAnnotation endpoint) => endpoint.Name.ToLowerInvariant().Replace('_', '-');
}

internal static class EndpointExtensions
{
    public static bool HasHttpEndpoint(this IResource resource) => resource.Annotations.OfType<EndpointAnnotation>().Any(endpoint => endpoint.UriScheme == "http");
}
