using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Platform.AppHost;
using Platform.AppHost.Kubernetes;
using Platform.AppHost.Postgres;

var builder = DistributedApplication.CreateBuilder(args);

// What the services show one another; internal endpoints answer 401 to anybody else.
var internalToken = builder.AddParameter("internal-token",
    new GenerateParameterDefault { MinLength = 40, Special = false }, secret: true, persist: true);

// What the administrator shows Backend, and makes other keys with.
var adminKey = builder.AddParameter("admin-key",
    new GenerateParameterDefault { MinLength = 40, Special = false }, secret: true, persist: true);

var postgres = builder.AddDatabaseServer("postgres");
var registryDb = postgres.AddDatabase("registry-db", "registry");
var deployerDb = postgres.AddDatabase("deployer-db", "deployer");
var backendDb = postgres.AddDatabase("backend-db", "backend");

// Each service waits for its database, and none for another service: they come up in any order and survive each other.
var registry = builder.AddProject<Projects.TemplateRegistry>("template-registry")
    .WithHttpEndpoint(port: 9001)
    .WithHttpHealthCheck("/health")
    .WithReference(registryDb).WaitFor(registryDb)
    .WithEnvironment("InternalToken", internalToken);

var deployer = builder.AddProject<Projects.StoreDeployer>("store-deployer")
    .WithHttpEndpoint(port: 9003).WithExternalHttpEndpoints()
    .WithHttpHealthCheck("/health")
    .WithReference(deployerDb).WaitFor(deployerDb)
    .WithReference(registry)
    .WithEnvironment("InternalToken", internalToken)
    .WithLocalDirectory("Stores__CacheDirectory", "store-cache");

var backend = builder.AddProject<Projects.Backend>("backend")
    .WithHttpEndpoint(port: 9000).WithExternalHttpEndpoints()
    .WithHttpHealthCheck("/health")
    .WithReference(backendDb).WaitFor(backendDb)
    .WithReference(registry).WithReference(deployer)
    .WithEnvironment("InternalToken", internalToken)
    .WithEnvironment("AdminKey", adminKey)
    .WithUrlForEndpoint("http", url => url.DisplayText = "Console");

// Cookies don't tell ports apart: on one machine the stores go by another of its names than the console, which keeps its session to itself.
var stores = deployer.GetEndpoint("http");
deployer
    .WithReference(backend)
    .WithEnvironment("Stores__PublicUrl", builder.ExecutionContext.IsRunMode
        ? ReferenceExpression.Create($"http://127.0.0.1:{stores.Property(EndpointProperty.Port)}")
        : ReferenceExpression.Create($"{stores}"));

builder.AddFaultCommands(registry, deployer, backend);
builder.AnnounceWhenHealthy(backend, adminKey);
builder.AddKubernetesManifests();

builder.Build().Run();
