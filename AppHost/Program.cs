using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Platform.AppHost.Faults;
using Platform.AppHost.Kubernetes;
using Platform.AppHost.Postgres;
using Platform.AppHost.Running;

ErrorSentences.Use();
var builder = DistributedApplication.CreateBuilder(args);
var ports = builder.ChoosePorts(args);

// The services authenticate to each other with this token; internal endpoints answer 401 without it.
var internalToken = builder.AddParameter("internal-token",
    new GenerateParameterDefault { MinLength = 40, Special = false }, secret: true, persist: true);

// The administrator's API key, which is used to create the others.
var adminKey = builder.AddParameter("admin-key",
    new GenerateParameterDefault { MinLength = 40, Special = false }, secret: true, persist: true);

var postgres = builder.AddDatabaseServer("postgres");
var registryDb = postgres.AddDatabase("registry-db", "registry");
var deployerDb = postgres.AddDatabase("deployer-db", "deployer");
var backendDb = postgres.AddDatabase("backend-db", "backend");

// Each service waits only for its database: services start in any order and tolerate each other's outages.
var registry = builder.AddProject<Projects.TemplateRegistry>("template-registry")
    .WithHttpEndpoint(port: ports.TemplateRegistry)
    .WithHttpHealthCheck("/health")
    .WithReference(registryDb).WaitFor(registryDb)
    .WithEnvironment("InternalToken", internalToken)
    .WithLocales();

var deployer = builder.AddProject<Projects.StoreDeployer>("store-deployer")
    .WithHttpEndpoint(port: ports.Stores).WithExternalHttpEndpoints()
    .WithHttpHealthCheck("/health")
    .WithReference(deployerDb).WaitFor(deployerDb)
    .WithReference(registry)
    .WithEnvironment("InternalToken", internalToken)
    .WithLocalDirectory("Stores__CacheDirectory", "store-cache")
    .WithLocales();

var backend = builder.AddProject<Projects.Backend>("backend")
    .WithHttpEndpoint(port: ports.Console).WithExternalHttpEndpoints()
    .WithHttpHealthCheck("/health")
    .WithReference(backendDb).WaitFor(backendDb)
    .WithReference(registry).WithReference(deployer)
    .WithEnvironment("InternalToken", internalToken)
    .WithEnvironment("AdminKey", adminKey)
    .WithUrlForEndpoint("http", url => url.DisplayText = "Console");

// Cookies ignore ports. Serving stores from 127.0.0.1 and the console from localhost keeps the console's session away from the stores.
var stores = deployer.GetEndpoint("http");
deployer
    .WithReference(backend)
    .WithEnvironment("Stores__PublicUrl", builder.ExecutionContext.IsRunMode
        ? ReferenceExpression.Create($"http://127.0.0.1:{stores.Property(EndpointProperty.Port)}")
        : ReferenceExpression.Create($"{stores}"));

builder.AddFaultCommands(registry, deployer, backend);
builder.UseBuiltExecutables();
builder.ReportStart(backend, adminKey);
builder.WatchTemplateFolder(args, backend, adminKey);
builder.AddKubernetesManifests();

builder.Build().Run();
