using System.Globalization;
using System.Text.Json;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Hosting;

namespace Aspire.Hosting;

public static class ProjectResourceBuilderExtensions
{
    public static IResourceBuilder<ProjectResource> AddProject<TProject>(this IDistributedApplicationBuilder builder, string name)
        where TProject : IProjectMetadata, new() => builder.Add(name, new TProject(), null, excludeLaunchProfile: false);

    public static IResourceBuilder<ProjectResource> AddProject(this IDistributedApplicationBuilder builder, string name, string projectPath) =>
        builder.Add(name, new ProjectAt(builder, projectPath), null, excludeLaunchProfile: false);

    /// <param name="launchProfileName">Null to use none.</param>
    public static IResourceBuilder<ProjectResource> AddProject<TProject>(this IDistributedApplicationBuilder builder, string name, string? launchProfileName)
        where TProject : IProjectMetadata, new() => builder.Add(name, new TProject(), launchProfileName, excludeLaunchProfile: launchProfileName is null);

    /// <param name="launchProfileName">Null to use none.</param>
    public static IResourceBuilder<ProjectResource> AddProject(this IDistributedApplicationBuilder builder, string name, string projectPath, string? launchProfileName) =>
        builder.Add(name, new ProjectAt(builder, projectPath), launchProfileName, excludeLaunchProfile: launchProfileName is null);

    /// <summary>Runs that many processes behind one address.</summary>
    public static IResourceBuilder<ProjectResource> WithReplicas(this IResourceBuilder<ProjectResource> builder, int replicas) =>
        builder.WithAnnotation(new ReplicaAnnotation(replicas));

    private static IResourceBuilder<ProjectResource> Add(
        this IDistributedApplicationBuilder builder, string name, IProjectMetadata metadata, string? launchProfileName, bool excludeLaunchProfile)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(name);
        var profile = excludeLaunchProfile
            ? null
            : LaunchProfile.Find(metadata.ProjectPath, launchProfileName, builder.Configuration["AppHost:DefaultLaunchProfileName"] ?? builder.Configuration["DOTNET_LAUNCH_PROFILE"]);
        var project = builder.AddResource(new ProjectResource(name))
            .WithAnnotation(metadata)
            .WithAnnotation(new LaunchProfileAnnotation(profile?.Name))
            .WithEnvironment("OTEL_DOTNET_EXPERIMENTAL_OTLP_RETRY", "in_memory")
            .WithOtlpExporter();
        if (builder.ExecutionContext.IsRunMode && builder.Environment.IsDevelopment())
        {
            project.WithEnvironment("OTEL_DOTNET_EXPERIMENTAL_ASPNETCORE_DISABLE_URL_QUERY_REDACTION", "true")
                .WithEnvironment("OTEL_DOTNET_EXPERIMENTAL_HTTPCLIENT_DISABLE_URL_QUERY_REDACTION", "true");
        }

        if (builder.ExecutionContext.IsRunMode)
        {
            project.WithEnvironment("LOGGING__CONSOLE__FORMATTERNAME", "simple").WithEnvironment(SetUrls);
            AddEndpointsOf(project, profile);
            if (profile is not null)
            {
                project.WithEnvironment(context =>
                {
                    context.EnvironmentVariables.TryAdd("DOTNET_LAUNCH_PROFILE", profile.Name);
                    foreach (var (variable, value) in profile.EnvironmentVariables)
                        context.EnvironmentVariables.TryAdd(variable, Environment.ExpandEnvironmentVariables(value));
                }).WithArgs(context =>
                {
                    foreach (var argument in profile.CommandLineArgs)
                        context.Args.Add(argument);
                });
            }
        }
        else
        {
            project.WithEnvironment(SetPorts);
            if (profile?.ApplicationUrl is not null)
            {
                project.WithEndpoint("http", e => e.UriScheme = "http");
                project.WithEndpoint("https", e => e.UriScheme = "https");
            }
        }

        return project;

        void SetUrls(EnvironmentCallbackContext context)
        {
            if (context.EnvironmentVariables.ContainsKey("ASPNETCORE_URLS"))
                return;
            var parts = new List<IValueProvider>();
            foreach (var endpoint in HttpEndpoints(context.Resource).Where(e => e.TargetPortEnvironmentVariable is null))
                parts.Add(new ListenUrl(endpoint));
            if (parts.Count > 0)
                context.EnvironmentVariables["ASPNETCORE_URLS"] = new JoinedValues(parts);
        }

        void SetPorts(EnvironmentCallbackContext context)
        {
            var endpoints = HttpEndpoints(context.Resource).ToList();
            if (endpoints.Count > 0)
                context.EnvironmentVariables["ASPNETCORE_FORWARDEDHEADERS_ENABLED"] = "true";
            foreach (var group in endpoints.Where(e => e.TargetPortEnvironmentVariable is null).GroupBy(e => e.UriScheme, StringComparer.Ordinal))
            {
                var ports = group.Select(e => (IManifestExpressionProvider)new EndpointReference((IResourceWithEndpoints)context.Resource, e).Property(EndpointProperty.TargetPort)).ToList();
                context.EnvironmentVariables[$"{group.Key.ToUpperInvariant()}_PORTS"] = ports.Count == 1 ? ports[0] : new JoinedExpressions(ports);
            }
        }
    }

    private static IEnumerable<EndpointAnnotation> HttpEndpoints(IResource resource) =>
        resource.Annotations.OfType<EndpointAnnotation>().Where(e => e.UriScheme is "http" or "https");

    private static void AddEndpointsOf(IResourceBuilder<ProjectResource> project, LaunchProfile? profile)
    {
        var count = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var url in profile?.ApplicationUrl?.Split(';', StringSplitOptions.RemoveEmptyEntries) ?? [])
        {
            var uri = new Uri(url.Replace("://*", "://localhost", StringComparison.Ordinal).Replace("://+", "://localhost", StringComparison.Ordinal));
            var number = count[uri.Scheme] = count.GetValueOrDefault(uri.Scheme) + 1;
            project.WithEndpoint(number == 1 ? uri.Scheme : uri.Scheme + number.ToString(CultureInfo.InvariantCulture), e =>
            {
                e.Port = uri.Port;
                e.UriScheme = uri.Scheme;
                e.FromLaunchProfile = true;
            });
        }
    }

    private sealed class ProjectAt : IProjectMetadata
    {
        public ProjectAt(IDistributedApplicationBuilder builder, string path)
        {
            ArgumentNullException.ThrowIfNull(path);
            ProjectPath = Path.GetFullPath(Path.Combine(builder.AppHostDirectory, path.Replace('\\', Path.DirectorySeparatorChar)));
        }

        public string ProjectPath { get; }
    }

    /// <summary>Where the process itself listens: behind the proxy, if the endpoint has one.</summary>
    private sealed class ListenUrl(EndpointAnnotation endpoint) : IValueProvider
    {
        public async ValueTask<string?> GetValueAsync(CancellationToken cancellationToken = default)
        {
            var allocated = await endpoint.WaitForAllocationAsync(cancellationToken).ConfigureAwait(false);
            return $"{endpoint.UriScheme}://{endpoint.TargetHost}:{allocated.TargetPortExpression}";
        }
    }

    private sealed class JoinedValues(IReadOnlyList<IValueProvider> parts) : IValueProvider
    {
        public async ValueTask<string?> GetValueAsync(CancellationToken cancellationToken = default)
        {
            var values = new List<string?>();
            foreach (var part in parts)
                values.Add(await part.GetValueAsync(cancellationToken).ConfigureAwait(false));
            return string.Join(';', values);
        }
    }

    private sealed class JoinedExpressions(IReadOnlyList<IManifestExpressionProvider> parts) : IManifestExpressionProvider
    {
        public string ValueExpression => string.Join(';', parts.Select(p => p.ValueExpression));
    }
}

/// <summary>A profile of a project's Properties/launchSettings.json.</summary>
internal sealed record LaunchProfile(string Name, string? ApplicationUrl, IReadOnlyList<string> CommandLineArgs, IReadOnlyDictionary<string, string> EnvironmentVariables)
{
    private static readonly JsonDocumentOptions Lenient = new() { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip };

    /// <summary>The named profile, else the one that the AppHost runs with, else the first that runs the project.</summary>
    /// <exception cref="DistributedApplicationException">There is no profile of that name.</exception>
    public static LaunchProfile? Find(string projectPath, string? name, string? appHostsOwn)
    {
        var file = Path.Combine(Path.GetDirectoryName(projectPath)!, "Properties", "launchSettings.json");
        if (!File.Exists(file))
            return name is null ? null : throw NotFound();
        using var json = JsonDocument.Parse(File.ReadAllText(file), Lenient);
        if (!json.RootElement.TryGetProperty("profiles", out var profiles))
            return name is null ? null : throw NotFound();
        if (name is not null)
            return profiles.TryGetProperty(name, out var named) ? Read(name, named) : throw NotFound();
        if (appHostsOwn is not null && profiles.TryGetProperty(appHostsOwn, out var same))
            return Read(appHostsOwn, same);
        foreach (var profile in profiles.EnumerateObject())
        {
            if (profile.Value.TryGetProperty("commandName", out var command) && command.GetString() == "Project")
                return Read(profile.Name, profile.Value);
        }

        return null;

        DistributedApplicationException NotFound() => new($"Launch profile '{name}' does not exist in {file}.");
    }

    private static LaunchProfile Read(string name, JsonElement profile) => new(
        name,
        profile.TryGetProperty("applicationUrl", out var url) ? url.GetString() : null,
        profile.TryGetProperty("commandLineArgs", out var args) ? args.GetString()!.Split(' ', StringSplitOptions.RemoveEmptyEntries) : [],
        profile.TryGetProperty("environmentVariables", out var variables)
            ? variables.EnumerateObject().ToDictionary(v => v.Name, v => v.Value.GetString() ?? "", StringComparer.Ordinal)
            : new Dictionary<string, string>(StringComparer.Ordinal));
}
