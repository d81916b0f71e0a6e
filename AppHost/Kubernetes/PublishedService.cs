using System.Text.RegularExpressions;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Platform.AppHost.Running;

#pragma warning disable ASPIREPROBES001 // probes of the app model win over those that every service has

namespace Platform.AppHost.Kubernetes;

/// <summary>A service of the app model: a container image that runs in any number of pods.</summary>
/// <param name="Image">Repository of the image, without registry and tag.</param>
/// <param name="Settings">Environment variables whose value is no secret, by name.</param>
/// <param name="Variables">Environment variables that take something from a Secret, by name.</param>
/// <param name="Calls">The services that it calls, and on which port.</param>
/// <param name="Connections">The databases that it uses, by connection string.</param>
/// <param name="Directories">Where it may write.</param>
/// <param name="MinReplicas">What the app model asks for; null when it says nothing.</param>
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
    IReadOnlyList<PublishedProbe> Probes,
    int? MinReplicas)
{
    /// <summary>The port that probes, Prometheus and the Ingress use.</summary>
    public PublishedPort? Http => Ports.FirstOrDefault(port => port.IsHttp);

    /// <summary>The port that the Ingress leads to.</summary>
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
                throw new DistributedApplicationException($"'{project.Name}' can't be published: '{name}' is no name for an environment variable in Kubernetes.");
            var variable = new PublishedVariable(name, await values.TranslateAsync(name, value, cancellationToken));
            if (!variable.IsSetting && variable.Value.Hosts.Any())
                throw new DistributedApplicationException($"'{project.Name}' can't be published: {name} holds its public host together with a secret or within quotes, where Kustomize can't replace it.");
            if (variable.Value.Parts.Count > 1 && variable.Value.Secrets.Any(secret => secret.IsConnectionString))
                throw new DistributedApplicationException($"'{project.Name}' can't be published: {name} has a connection string as a part of it; take the connection string alone.");
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
                throw new DistributedApplicationException($"'{project.Name}' can't be published: an argument takes a secret or a public address; give it as an environment variable.");
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
            PublishedProbe.Of(project, ports),
            project.TryGetLastAnnotation<ReplicaAnnotation>(out var replicas) ? replicas.Replicas : null);
    }

    /// <summary>The name that <c>Directory.Build.targets</c> gives to the project's image: TemplateRegistry is template-registry.</summary>
    private static string ImageOf(ProjectResource project)
    {
        if (!project.TryGetLastAnnotation<IProjectMetadata>(out var metadata))
            throw new DistributedApplicationException($"'{project.Name}' can't be published: nothing says which project it is.");
        return WordStart().Replace(Path.GetFileNameWithoutExtension(metadata.ProjectPath), "${end}-${start}").ToLowerInvariant();
    }

    // TLS ends at the Ingress: inside there is no certificate to listen with, and no https to be found.
    private static bool IsForTls(string name, object value) =>
        name is "HTTPS_PORTS" or "ASPNETCORE_HTTPS_PORTS" ||
        (name.StartsWith("services__", StringComparison.Ordinal) && value is EndpointReference { IsHttps: true } endpoint && endpoint.Resource.HasHttpEndpoint());

    /// <summary>
    /// Whether the variable only repeats a connection string: a part of it, such as the host in BACKEND_DB_HOST, or the whole under a name without hyphens.
    /// Of an external database nobody knows the parts, and services read the whole.
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
    // Kustomize strips quotes around what it puts into a ConfigMap.
    public bool IsSetting => !Value.Secrets.Any() && (Value.Text is not [.., _] text || (text[0] is not ('"' or '\'') && text[^1] is not ('"' or '\'')));
}

/// <summary>A call to another service, on the port on which its pods listen.</summary>
internal sealed record PublishedCall(string Target, int Port);

/// <summary>Use of a database.</summary>
/// <param name="Name">Name of the resource and of its Secret.</param>
/// <param name="Server">Name of the server; that of the resource when the app model knows of none.</param>
/// <param name="Port">Port of the server; null when the app model does not know it.</param>
/// <param name="ConnectionString">How it is made where the server is in the cluster; null when it never is.</param>
internal sealed record PublishedConnection(string Name, string Server, int? Port, PublishedValue? ConnectionString);

/// <summary>A port of a service.</summary>
/// <param name="ContainerPort">Where its pods listen.</param>
/// <param name="ServicePort">Where others come to it: 80 for the first that speaks HTTP, so that its name is its address.</param>
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
            var name = endpoint.Name.ToLowerInvariant().Replace('_', '-');
            if (name.Length > 15)
                throw new DistributedApplicationException($"'{resource.Name}' can't be published: the name of its endpoint '{endpoint.Name}' is longer than the 15 characters that Kubernetes allows.");
            var containerPort = endpoint.TargetPort ?? (isHttp ? next++ : throw new DistributedApplicationException(
                $"'{resource.Name}' can't be published: its endpoint '{endpoint.Name}' has no target port."));
            ports.Add(new(name, containerPort, isHttp && !ports.Any(port => port.IsHttp) ? 80 : containerPort, isHttp, endpoint.IsExternal));
        }

        if (ports.Count(port => port is { IsHttp: true, IsExternal: true }) > 1)
            throw new DistributedApplicationException($"'{resource.Name}' can't be published: more than one of its endpoints is external, and a host leads to one.");
        return ports;
    }

    public static PublishedPort Of(EndpointReference endpoint)
    {
        var ports = Of(endpoint.Resource);
        var name = endpoint.EndpointAnnotation.Name.ToLowerInvariant().Replace('_', '-');
        return ports.FirstOrDefault(port => port.Name == name) ?? ports.First(port => port.IsHttp);
    }
}

internal static class EndpointExtensions
{
    public static bool HasHttpEndpoint(this IResource resource) => resource.Annotations.OfType<EndpointAnnotation>().Any(endpoint => endpoint.UriScheme == "http");
}

/// <summary>A probe on a port that speaks HTTP. Times are seconds.</summary>
internal sealed record PublishedProbe(ProbeType Type, string Path, string Port, int InitialDelay, int Period, int Timeout, int Failures, int Successes)
{
    /// <summary>
    /// What every service answers (ServiceDefaults), unless the app model has a probe of that type. A service lives and answers while its database is
    /// away and before its migrations are done: neither ends it, and it is given no work until <c>/ready</c> says so.
    /// </summary>
    public static IReadOnlyList<PublishedProbe> Of(ProjectResource project, IReadOnlyList<PublishedPort> ports)
    {
        if (ports.FirstOrDefault(port => port.IsHttp) is not { } http)
            return [];

        PublishedProbe[] defaults =
        [
            new(ProbeType.Startup, "/alive", http.Name, InitialDelay: 0, Period: 2, Timeout: 2, Failures: 30, Successes: 1),
            new(ProbeType.Liveness, "/alive", http.Name, InitialDelay: 0, Period: 10, Timeout: 5, Failures: 3, Successes: 1),
            new(ProbeType.Readiness, "/ready", http.Name, InitialDelay: 0, Period: 5, Timeout: 2, Failures: 2, Successes: 1),
        ];
        return [.. defaults.Select(probe => project.Annotations.OfType<EndpointProbeAnnotation>().LastOrDefault(own => own.Type == probe.Type) is { } own
            ? new(own.Type, own.Path, PublishedPort.Of(own.EndpointReference).Name, own.InitialDelaySeconds, own.PeriodSeconds, own.TimeoutSeconds, own.FailureThreshold, own.SuccessThreshold)
            : probe)];
    }
}
