using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Platform.AppHost.Kubernetes;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Kubernetes;

/// <summary>What can't be published is said in one sentence that names the resource and the variable, and no value.</summary>
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
    public async Task A_value_of_an_unknown_kind()
    {
        _service.WithEnvironment(context => context.EnvironmentVariables["ODD"] = new object());
        await FailsAsync("'service' can't be published: ODD is a Object, which has no counterpart in a manifest.");
    }

    [Fact]
    public async Task A_parameter_without_a_value()
    {
        _service.WithEnvironment("REGION", _builder.AddParameter("region"));
        await FailsAsync("'service' can't be published: REGION takes the parameter 'region', which has no value: give it one in Program.cs or as the environment variable Parameters__region, or make it a secret.");
    }

    [Fact]
    public async Task A_parameter_without_a_value_is_not_asked_for_and_nothing_is_written()
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
    public async Task A_public_host_together_with_a_secret()
    {
        _service.WithExternalHttpEndpoints();
        var key = _builder.AddParameter("key", secret: true).Resource;
        _service.WithEnvironment("URL", $"{_service.GetEndpoint("http")}/?key={key}");
        await FailsAsync("'service' can't be published: URL holds its public host together with a secret or within quotes, where Kustomize can't replace it.");
    }

    [Fact]
    public async Task A_connection_string_inside_of_another_text()
    {
        var database = _builder.AddPostgres("db").WithDataVolume().AddDatabase("orders");
        _service.WithEnvironment("DATABASE", $"{database};Timeout=5");
        await FailsAsync("'service' can't be published: DATABASE has a connection string as a part of it; take the connection string alone.");
    }

    [Fact]
    public async Task A_name_in_capitals()
    {
        AddProject("Other", "Other");
        await FailsAsync("'Other' can't be published: names in Kubernetes are in lower case.");
    }

    [Fact]
    public async Task An_endpoint_that_does_not_exist()
    {
        _service.WithEnvironment("ADMIN", _service.GetEndpoint("admin"));
        await FailsAsync("'service' can't be published: ADMIN takes the endpoint 'admin' of 'service', which does not exist.");
    }

    [Fact]
    public async Task An_endpoint_of_a_database_that_may_be_elsewhere()
    {
        var server = _builder.AddPostgres("db").WithDataVolume();
        _service.WithEnvironment("HOST", server.Resource.PrimaryEndpoint.Property(EndpointProperty.Host));
        await FailsAsync("'service' can't be published: HOST takes an endpoint of 'db', which may be outside of the cluster: take its connection string.");
    }

    [Fact]
    public async Task A_database_server_whose_data_would_be_lost()
    {
        _builder.AddPostgres("db");
        await FailsAsync("'db' can't be published: without a volume its data would be lost with its pod; add WithDataVolume().");
    }

    [Fact]
    public async Task A_secret_that_would_have_to_be_encoded()
    {
        var key = _builder.AddParameter("key", secret: true).Resource;
        _service.WithEnvironment("URL", $"https://{key:uri}@example.com");
        await FailsAsync("'service' can't be published: URL takes the secret 'key' encoded for a URI, which Kubernetes can't do.");
    }

    [Fact]
    public async Task A_variable_whose_name_a_secret_needs()
    {
        var key = _builder.AddParameter("key", secret: true).Resource;
        _service.WithEnvironment("URL", $"https://{key}@example.com").WithEnvironment("KEY", "other");
        await FailsAsync("'service' can't be published: other variables are composed of the secret 'key', for which KEY must be free; give that variable another name.");
    }

    [Fact]
    public async Task A_secret_as_an_argument()
    {
        _service.WithArgs(context => context.Args.Add(_builder.AddParameter("key", secret: true).Resource));
        await FailsAsync("'service' can't be published: an argument takes a secret or a public address; give it as an environment variable.");
    }

    [Fact]
    public async Task A_name_that_is_none()
    {
        _service.WithEnvironment("1 2", "x");
        await FailsAsync("'service' can't be published: '1 2' is no name for an environment variable in Kubernetes.");
    }

    [Fact]
    public async Task A_second_external_endpoint()
    {
        _service.WithHttpEndpoint(name: "admin").WithExternalHttpEndpoints();
        await FailsAsync("'service' can't be published: more than one of its endpoints is external, and a host leads to one.");
    }

    [Fact]
    public async Task A_resource_that_there_are_no_manifests_for()
    {
        _builder.AddExecutable("tool", "/bin/true", ".");
        await FailsAsync("'tool' can't be published: it is a ExecutableResource, and there are manifests for projects, PostgreSQL and parameters only.");
    }

    [Fact]
    public async Task What_is_excluded_is_left_out()
    {
        _builder.AddExecutable("tool", "/bin/true", ".").ExcludeFromManifest();
        (await ReadAsync()).Services.Select(service => service.Name).ShouldBe(["service"]);
    }

    [Fact]
    public async Task A_connection_string_from_outside_is_a_Secret_whose_server_may_be_anywhere()
    {
        _service.WithReference(_builder.AddConnectionString("queue"));
        var platform = await ReadAsync();
        platform.Secrets.ShouldBe([new SecretKey("queue", "connection-string", "the connection string of queue", IsGenerated: false)]);
        platform.Connections.Single().Key.ShouldBe(("queue", null));
    }

    [Fact]
    public async Task Https_ends_at_the_Ingress()
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
