using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Platform.AppHost.Kubernetes;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Kubernetes;

/// <summary>An app model that can't be published is refused in one sentence that names the resource and the variable but contains no value.</summary>
public sealed class ErrorTests : IDisposable
{
    private const string Secret = PublishedManifests.SecretMarker;

    private readonly DataDirectory _scratch = new();
    private readonly IDistributedApplicationBuilder _builder;
    private readonly IResourceBuilder<ProjectResource> _service;

    public ErrorTests()
    {
        _builder = DistributedApplication.CreateBuilder(["--operation", "publish", "--step", "publish", "--output-path", _scratch.Path, "--Parameters:key", Secret]);
        _service = AddProject("service", "Service").WithHttpEndpoint();
    }

    public void Dispose() => _scratch.Dispose();

    [Fact]
    public async Task A_value_of_an_unknown_type_is_refused()
    {
        _service.WithEnvironment(context => context.EnvironmentVariables["ODD"] = new object());
        await FailsAsync("'service' can't be published: ODD has a value of type Object, which can't be expressed in a manifest.");
    }

    [Fact]
    public async Task A_parameter_without_a_value_is_refused()
    {
        _service.WithEnvironment("REGION", _builder.AddParameter("region"));
        await FailsAsync("'service' can't be published: REGION uses the parameter 'region', which has no value: set it in Program.cs or in the environment variable Parameters__region, or make it a secret.");
    }

    [Fact]
    public async Task A_parameter_without_a_value_is_not_prompted_for_and_nothing_is_written()
    {
        var output = Path.Combine(_scratch.Path, "out");
        var exitCode = Environment.ExitCode;
        await Record.ExceptionAsync(() => PublishedManifests.PublishAsync(output, builder =>
            builder.CreateResourceBuilder(builder.Resources.OfType<ProjectResource>().First()).WithEnvironment("REGION", builder.AddParameter("region"))));
        Environment.ExitCode.ShouldBe(1);
        Environment.ExitCode = exitCode;
        Directory.Exists(output).ShouldBeFalse();
    }

    [Fact]
    public async Task A_public_host_together_with_a_secret_is_refused()
    {
        _service.WithExternalHttpEndpoints();
        var key = _builder.AddParameter("key", secret: true).Resource;
        _service.WithEnvironment("URL", $"{_service.GetEndpoint("http")}/?key={key}");
        await FailsAsync("'service' can't be published: URL contains its public host together with a secret or within quotes, where Kustomize can't replace it.");
    }

    [Fact]
    public async Task A_connection_string_within_other_text_is_refused()
    {
        var database = _builder.AddPostgres("db").WithDataVolume().AddDatabase("orders");
        _service.WithEnvironment("DATABASE", $"{database};Timeout=5");
        await FailsAsync("'service' can't be published: DATABASE contains a connection string among other text; use the connection string alone.");
    }

    [Fact]
    public async Task A_name_in_upper_case_is_refused()
    {
        AddProject("Other", "Other");
        await FailsAsync("'Other' can't be published: names in Kubernetes must be lower case.");
    }

    [Fact]
    public async Task An_unknown_endpoint_is_refused()
    {
        _service.WithEnvironment("ADMIN", _service.GetEndpoint("admin"));
        await FailsAsync("'service' can't be published: ADMIN uses the endpoint 'admin' of 'service', which does not exist.");
    }

    [Fact]
    public async Task An_endpoint_of_a_database_that_may_be_external_is_refused()
    {
        var server = _builder.AddPostgres("db").WithDataVolume();
        _service.WithEnvironment("HOST", server.Resource.PrimaryEndpoint.Property(EndpointProperty.Host));
        await FailsAsync("'service' can't be published: HOST uses an endpoint of 'db', which may be outside the cluster: use its connection string.");
    }

    [Fact]
    public async Task A_database_server_without_a_volume_is_refused()
    {
        _builder.AddPostgres("db");
        await FailsAsync("'db' can't be published: without a volume its data is lost with the pod; add WithDataVolume().");
    }

    [Fact]
    public async Task A_URI_encoded_secret_is_refused()
    {
        var key = _builder.AddParameter("key", secret: true).Resource;
        _service.WithEnvironment("URL", $"https://{key:uri}@example.com");
        await FailsAsync("'service' can't be published: URL contains the secret 'key' URI-encoded, which Kubernetes can't do.");
    }

    [Fact]
    public async Task A_variable_with_the_name_that_an_embedded_secret_needs_is_refused()
    {
        var key = _builder.AddParameter("key", secret: true).Resource;
        _service.WithEnvironment("URL", $"https://{key}@example.com").WithEnvironment("KEY", "other");
        await FailsAsync("'service' can't be published: a variable contains the secret 'key', which needs the variable KEY for itself; rename the variable that has this name.");
    }

    [Fact]
    public async Task A_secret_in_an_argument_is_refused()
    {
        _service.WithArgs(context => context.Args.Add(_builder.AddParameter("key", secret: true).Resource));
        await FailsAsync("'service' can't be published: an argument contains a secret or a public host; use an environment variable instead.");
    }

    [Fact]
    public async Task An_invalid_variable_name_is_refused()
    {
        _service.WithEnvironment("1 2", "x");
        await FailsAsync("'service' can't be published: '1 2' is not a valid name for an environment variable in Kubernetes.");
    }

    [Fact]
    public async Task A_second_external_endpoint_is_refused()
    {
        _service.WithHttpEndpoint(name: "admin").WithExternalHttpEndpoints();
        await FailsAsync("'service' can't be published: more than one of its endpoints is external; only one can have the public host.");
    }

    [Fact]
    public async Task An_unsupported_resource_is_refused()
    {
        _builder.AddExecutable("tool", "/bin/true", ".");
        await FailsAsync("'tool' can't be published: it is of type ExecutableResource; only projects, PostgreSQL and parameters are supported.");
    }

    [Fact]
    public async Task Resources_excluded_from_the_manifest_are_not_published()
    {
        _builder.AddExecutable("tool", "/bin/true", ".").ExcludeFromManifest();
        (await ReadAsync()).Services.Select(service => service.Name).ShouldBe(["service"]);
    }

    [Fact]
    public async Task An_external_connection_string_becomes_a_Secret_with_an_unknown_port()
    {
        _service.WithReference(_builder.AddConnectionString("queue"));
        var platform = await ReadAsync();
        platform.Secrets.ShouldBe([new SecretKey("queue", "connection-string", "the connection string of queue", IsGenerated: false)]);
        platform.Connections.Single().Key.ShouldBe(("queue", null));
    }

    [Fact]
    public async Task References_to_https_endpoints_use_http_within_the_cluster()
    {
        var other = AddProject("other", "Other").WithHttpEndpoint().WithHttpsEndpoint();
        _service.WithReference(other).WithEnvironment("OTHER", other.GetEndpoint("https"));
        var service = (await ReadAsync()).Services.Single(service => service.Name == "service");
        var settings = service.Settings.ToDictionary(setting => setting.Name, setting => setting.Value.Text);
        settings["OTHER"].ShouldBe("http://other");
        settings["services__other__http__0"].ShouldBe("http://other");
        settings.Keys.ShouldNotContain("services__other__https__0");
        service.Calls.ShouldBe([new("other", 8080)]);
    }

    private IResourceBuilder<ProjectResource> AddProject(string name, string project)
    {
        var path = Path.Combine(_scratch.Path, $"{project}.csproj");
        File.WriteAllText(path, "<Project Sdk=\"Microsoft.NET.Sdk.Web\" />");
        return _builder.AddProject(name, path);
    }

    private Task<PublishedPlatform> ReadAsync() =>
        PublishedPlatform.ReadAsync(new DistributedApplicationModel(_builder.Resources), _builder.ExecutionContext, TestContext.Current.CancellationToken);

    private async Task FailsAsync(string message)
    {
        var error = await Should.ThrowAsync<DistributedApplicationException>(async () =>
        {
            var platform = await ReadAsync();
            BaseManifests.Write(new SortedDictionary<string, string>(), platform);
        });
        error.Message.ShouldBe(message);
        error.ToString().ShouldNotContain(Secret);
    }
}
